"""How many of the part's prompts are new in the account.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two)
1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import inside

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return inside(records, "fresh")


SIGNAL = SequenceSignal(
    name="part_freshness",
    units="share of records",
    formula="records of the part whose prompt the account had not sent before / records of the part",
    source="own experiments: repeats and their absence",
    sees="lists are fresh",
    misses="lists asked several times; fresh chat",
    says="in the part of it that looks most like a list (perhaps all of it) {value:.0%} of the prompts are new",
    compute=compute,
    minimum=30,
)
