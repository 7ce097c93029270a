"""The streaming deployment: Faust agents over the engine in ``pipeline``."""
