"""Whether the days have the same topics.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> times = [i * 3600 for i in range(96)]
>>> compute(sequence([i // 24 for i in range(96)], seconds=times)) < -2
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence, Integers


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    rows = np.flatnonzero(records.first_time)
    topic, day = records.topic[rows], records.time[rows] // 86_400_000_000
    n = len(rows)
    size = int(topic.max(initial=0)) + 1

    def pairs(codes: Integers) -> float:
        counts = np.unique(codes, return_counts=True)[1].astype(np.float64)
        return float((counts * (counts - 1)).sum())

    within, both = pairs(day), pairs((day - day[0]) * size + topic)
    across = n * (n - 1.0) - within
    if within < 200 or across < 200:
        return NAN
    return float(np.log(((pairs(topic) - both + 1) / (across + 1)) / ((both + 1) / (within + 1))))


SIGNAL = SequenceSignal(
    name="day_overlap",
    units="log ratio",
    formula="log(share of pairs of different days with one topic / the same for pairs of one day), every prompt once",
    source="analysis of similarities between groups (Clarke 1993), on pairs",
    sees="sequential walks and projects that change from day to day",
    misses="shuffled lists and steady applications both give 0",
    says="pairs of its records of different days share a topic {exponential} times as often as pairs of one day",
    compute=compute,
)
