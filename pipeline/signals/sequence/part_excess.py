"""How much more the part found looks like a list than the account does.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) > 0.5, compute(sequence([0] * 120, prompts=[0] * 120))
(True, 0.0)
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
    return found.bound - found.account


SIGNAL = SequenceSignal(
    name="part_excess",
    units="log-odds",
    formula="bound of the best part - log-odds of the whole account, 0 if no part stands out",
    source="subset scan (Kulldorff 1997; Neill 2012) with a likelihood of lists",
    sees="a harvest in cover traffic",
    misses="harvests without cover; honest lists beside honest users",
    says="one part of it looks {more} like a list than the whole, by {size:.1f} in log-odds",
    compute=compute,
    minimum=30,
)
