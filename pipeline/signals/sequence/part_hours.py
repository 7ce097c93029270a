"""Whether the part keeps to hours of the day.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(48), seconds=[3600.0 * i for i in range(48)])), compute(sequence([0] * 30))
(0.02127659574468085, 1.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal, same_pairs
from pipeline.signals.sequence.parts import part_of

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


HOUR_US = 3_600_000_000


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    hour = records.time // HOUR_US % 24
    return same_pairs(hour[part_of(records).rows])


SIGNAL = SequenceSignal(
    name="part_hours",
    units="share of pairs",
    formula="pairs of records of the part in the same hour of the day / pairs",
    source="own experiments: hour flatness",
    sees="programs run round the clock",
    misses="harvests that keep office hours",
    says="in the part of it that looks most like a list (perhaps all of it) two records fall into one hour of the day with chance {value:.2f}",
    compute=compute,
    minimum=30,
)
