"""How strongly the account keeps to a time of day.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(30), seconds=[i * 86_400 for i in range(30)])), 6)
1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    # Each hour of activity once: a burst of a thousand records is one event.
    hour = np.unique(records.time // 3_600_000_000)
    n = len(hour)
    if n < 12:
        return NAN
    angle = (hour % 24) / 24 * 2 * np.pi
    squared = float(np.cos(angle).sum() ** 2 + np.sin(angle).sum() ** 2)
    return (squared - n) / (n * (n - 1))


SIGNAL = SequenceSignal(
    name="hour_rhythm",
    units="squared resultant length",
    formula="(|sum exp(2 pi i hour / 24)|^2 - n) / (n (n - 1)) over the n distinct hours with records",
    source="mean resultant length (Mardia & Jupp 2000) without its bias",
    sees="a working day; round-the-clock programs have none",
    misses="drips that imitate hours",
    says="its hours of activity have a rhythm of {value:.2f}",
    compute=compute,
)
