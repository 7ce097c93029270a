"""Indicators that others can use: STIX 2.1 with identifiers hashed for one recipient, and what others shared with us.

What is exported names nobody to whoever has not the recipient's secret; what is imported marks accounts for people to look
at and moves no score.
"""

from pipeline.indicators.export import ExportSettings, export_bundle
from pipeline.indicators.hashing import RecipientKey
from pipeline.indicators.marks import Imported, import_bundle
from pipeline.indicators.reading import SharedIndicator, read_bundle

__all__ = [
    "ExportSettings",
    "Imported",
    "RecipientKey",
    "SharedIndicator",
    "export_bundle",
    "import_bundle",
    "read_bundle",
]
