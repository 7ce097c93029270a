"""How the shipped constants were made: commands for whoever has another embedding space."""
