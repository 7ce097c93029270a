"""How alike the part's prompts are.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> 0.1 < compute(two) < 0.3
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
    return inside(records, "alike")


SIGNAL = SequenceSignal(
    name="part_breadth",
    units="cosine",
    formula="mean cosine of two different prompts of the part",
    source="own experiments: mean pairwise cosine",
    sees="narrow parts of honest applications",
    misses="broad chat",
    says="in the part of it that looks most like a list (perhaps all of it) two prompts have cosine {value:.2f}",
    compute=compute,
    minimum=30,
)
