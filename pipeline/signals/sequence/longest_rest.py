"""The longest silence in a usual day.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(96), seconds=[i * 3600 for i in range(96)]))
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
    hours = records.time / 3.6e9
    days = np.floor((hours - hours[0]) / 24)
    if days[-1] < 2:
        return NAN
    # A silence belongs to the day it begins in; days since the first record, so that no time zone matters.
    gaps = np.diff(hours)
    longest = np.zeros(int(days[-1]))
    for day in range(len(longest)):
        mine = gaps[days[:-1] == day]
        longest[day] = min(float(mine.max()), 24.0) if len(mine) else 24.0
    return float(np.median(longest))


SIGNAL = SequenceSignal(
    name="longest_rest",
    units="hours",
    formula="median over days since the first record of the longest silence that begins in the day, at most 24",
    source="this project",
    sees="people sleep",
    misses="accounts with few records a day rest by chance",
    says="on a usual day it rests for {value:.1f} hours",
    compute=compute,
)
