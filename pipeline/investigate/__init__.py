"""Investigating from Python: a locked session on a lake, profiles as arrays, and the charts of a case file.

>>> from pipeline.investigate import open_lake                                # doctest: +SKIP
>>> with open_lake("lake", who="m.weber") as lake:                            # doctest: +SKIP
...     lake.playbook("why_flagged", account_id="acct-17").to_pandas()
...     lake.case("acct-17").figure("topics").draw()

Every question goes through the sandbox and into the audit record; profiles are read by the lake's own reader.
"""

from pipeline.investigate.case import Case
from pipeline.investigate.session import Investigation, open_lake
from pipeline.investigate.subjects import Subject

__all__ = ["Case", "Investigation", "Subject", "open_lake"]
