"""How much the records of one day gather in the same hours.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(48), seconds=[i * 1800 for i in range(48)])), 2) < 0
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
    hour = records.time // 3_600_000_000
    day = hour // 24
    hours = np.unique(hour, return_counts=True)[1].astype(np.float64)
    days = np.unique(day, return_counts=True)[1].astype(np.float64)
    pairs = float((days * (days - 1)).sum())
    if pairs < 200:
        return NAN
    return float(np.log2((24.0 * (hours * (hours - 1)).sum() + 1.0) / pairs))


SIGNAL = SequenceSignal(
    name="hour_excess",
    units="log2",
    formula="log2(24 x pairs of one day in one hour / pairs of one day); 0 is flat",
    source="collision statistic (Good 1982) by day, so that a shift of hours from day to day does not look flat",
    sees="round-the-clock work against working hours and runs",
    misses="resellers and services in many time zones are flat",
    says="its records of a day share an hour {doubled} times as often as a flat day's",
    compute=compute,
)
