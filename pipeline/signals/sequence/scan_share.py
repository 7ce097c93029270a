"""How large the part is that `scan_excess` found.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(60), prompts=[0] * 30 + list(range(1, 31)), sampling=[0] * 30 + [1] * 30))
0.5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import NAN, SequenceSignal
from pipeline.signals.sequence.scan import scan

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    found = scan(records)
    return float(found.rows.mean()) if found.excess > 0 else NAN


SIGNAL = SequenceSignal(
    name="scan_share",
    units="share of records",
    formula="records of the best part / records",
    source="spatial scan statistic (Kulldorff 1997)",
    sees="the size of a hidden stream",
    misses="nothing by itself: read it beside `scan_excess`",
    says="the part of it that stands out, if one does, is {value:.0%} of the account",
    compute=compute,
    minimum=50,
)
