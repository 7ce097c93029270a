"""How much fresher the part is than the rest.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) > 0.3
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
    return beyond(records, "fresh")


SIGNAL = SequenceSignal(
    name="part_freshness_contrast",
    units="share of records",
    formula="freshness of the part - freshness of the rest, 0 for a whole account",
    source="own experiments: repeats and their absence",
    sees="a list beside people who repeat themselves",
    misses="fresh cover",
    says="in the part of it that looks most like a list, if one stands out from the rest, the share of new prompts is {size:.2f} {higher} than in the rest",
    compute=compute,
    minimum=30,
)
