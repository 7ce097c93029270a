"""How much more the part found looks like a list than any other part.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) > 0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import part_of

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    found = part_of(records)
    return found.bound - found.runner_up


SIGNAL = SequenceSignal(
    name="part_lead",
    units="log-odds",
    formula="bound of the part - highest bound of a part that shares at most a tenth of its records; 0 if no part stands out",
    source="subset scan (Kulldorff 1997; Neill 2012) with a likelihood of lists",
    sees="one harvest beside people",
    misses="several harvests; accounts with many honest lists have none that leads",
    says="the part of it that looks most like a list, if one stands out, leads the next by {value:.1f} in log-odds",
    compute=compute,
    minimum=30,
)
