"""Whether the part's prompts stay near anything asked in the same hour.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(16))), compute(sequence([0] * 16))
(0.0, 1.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import inside

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return inside(records, "near_in_time")


SIGNAL = SequenceSignal(
    name="part_wander",
    units="cosine",
    formula="mean over records of the part of the largest cosine to another prompt of the account within an hour",
    source="own experiments: neighbours in time against neighbours in content",
    sees="lists wander, people stay with a subject",
    misses="slow accounts have nobody near; grouped lists",
    says="in the part of it that looks most like a list (perhaps all of it) the nearest prompt of the same hour has cosine {value:.2f}",
    compute=compute,
    minimum=30,
)
