"""How much more often two prompts have one topic in the part than in the rest.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) < 0.1
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
    return beyond(records, "one_topic")


SIGNAL = SequenceSignal(
    name="part_evenness_contrast",
    units="share of pairs",
    formula="one-topic pairs of the part - of the rest, 0 for a whole account",
    source="own experiments: topic evenness",
    sees="an even list beside people with subjects",
    misses="broad cover",
    says="in the part of it that looks most like a list, if one stands out from the rest, two prompts have one topic with a chance {size:.3f} {higher} than in the rest",
    compute=compute,
    minimum=30,
)
