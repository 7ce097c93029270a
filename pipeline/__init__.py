"""The domain core of distillwatch: records, profiles, landing, detection, replay."""

__version__ = "0.1.0"
