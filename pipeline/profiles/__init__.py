"""Profiles: exact integer summaries of accounts in windows, which merge, subtract and have a digest."""

from pipeline.profiles.digest import Digester
from pipeline.profiles.table import Profiles

__all__ = ["Digester", "Profiles"]
