"""How much more often prompts come again in the part than in the rest.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) < -0.4
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
    return beyond(records, "again")


SIGNAL = SequenceSignal(
    name="part_multiplicity_contrast",
    units="log of records",
    formula="multiplicity in the part - in the rest, 0 for a whole account",
    source="own experiments: multiplicity of prompts",
    sees="a list beside people who ask again",
    misses="fresh cover; several answers to each prompt",
    says="in the part of it that looks most like a list, if one stands out from the rest, a prompt is sent {exponential} times as often as in the rest",
    compute=compute,
    minimum=30,
)
