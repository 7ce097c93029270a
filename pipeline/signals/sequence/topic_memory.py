"""How much a topic says about the next one.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1, 2, 3] * 15)) > 1
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence, Integers


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    one, two = records.topic[:-1], records.topic[1:]
    n = len(one)

    def entropy(codes: Integers) -> float:
        counts = np.unique(codes, return_counts=True)[1] / n
        return float(-(counts * np.log(counts)).sum() + (len(counts) - 1) / (2 * n))

    size = int(records.topic.max(initial=0)) + 1
    return entropy(one) + entropy(two) - entropy(one * size + two)


SIGNAL = SequenceSignal(
    name="topic_memory",
    units="nats",
    formula="mutual information of consecutive topics, each entropy Miller-Madow corrected",
    source="Miller 1955",
    sees="fixed cycles of subjects, sessions",
    misses="with many topics and few records the correction leaves bias: compare accounts of like size",
    says="a topic of it says {value:.2f} nats about the next",
    compute=compute,
)
