"""How often two prompts of the part have one topic.

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
from pipeline.signals.sequence.parts import inside

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return inside(records, "one_topic")


SIGNAL = SequenceSignal(
    name="part_evenness",
    units="share of pairs",
    formula="pairs of different prompts of the part with one topic / pairs",
    source="own experiments: topic evenness; Simpson (Nature 163, 1949)",
    sees="lists run evenly over a corpus",
    misses="narrow corpora",
    says="in the part of it that looks most like a list (perhaps all of it) two prompts have one topic with chance {value:.3f}",
    compute=compute,
    minimum=30,
)
