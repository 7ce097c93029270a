"""How much more alike prompts are in the part than in the rest.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> abs(compute(two)) < 0.2
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import beyond

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return beyond(records, "alike")


SIGNAL = SequenceSignal(
    name="part_breadth_contrast",
    units="cosine",
    formula="mean cosine of two different prompts of the part - of the rest, 0 for a whole account",
    source="own experiments: dependence inside the account",
    sees="one corpus beside broad chat",
    misses="cover that is as narrow",
    says="in the part of it that looks most like a list, if one stands out from the rest, the cosine of two prompts is {size:.2f} {higher} than in the rest",
    compute=compute,
    minimum=30,
)
