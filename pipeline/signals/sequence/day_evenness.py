"""How evenly the days carry records.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(40), seconds=[i * 86_400 / 4 for i in range(40)])), 2) < 0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    day = records.time // 86_400_000_000
    span = int(day[-1] - day[0]) + 1
    counts = np.bincount(day - day[0], minlength=span).astype(np.float64)
    n = len(records)
    return float(np.log2((span * (counts * (counts - 1)).sum() + 1.0) / (n * (n - 1)))) if span >= 3 else NAN


SIGNAL = SequenceSignal(
    name="day_evenness",
    units="log2",
    formula="log2(days x pairs of one day / all pairs) over the days from first to last; 0 is even",
    source="collision statistic (Good 1982)",
    sees="steady draining against days on and off",
    misses="weekends; only the newest 2,000 records are seen",
    says="its records share a day {doubled} times as often as evenly spread ones",
    compute=compute,
)
