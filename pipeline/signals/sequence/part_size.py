"""How much of the account the part is.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two)
0.5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import part_of

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return float(part_of(records).rows.mean())


SIGNAL = SequenceSignal(
    name="part_size",
    units="share of records",
    formula="records of the part / records",
    source="subset scan (Kulldorff 1997; Neill 2012) with a likelihood of lists",
    sees="how diluted a harvest is",
    misses="nothing by itself",
    says="the part of it that looks most like a list is {value:.0%} of the account",
    compute=compute,
    minimum=30,
)
