"""How evenly the account's topics are used, whatever their number.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence([i % 8 for i in range(160)])), 2), compute(sequence([0] * 150 + list(range(1, 11)))) < 0.3
(1.05, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal, expected_distinct, same_pairs

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    rows = records.first_time
    counts = np.unique(records.topic[rows], return_counts=True)[1]
    if counts.sum() < 50:
        return NAN
    same = same_pairs(records.topic[rows])
    return 1.0 / same / expected_distinct(counts, 50) if same > 0 else NAN


SIGNAL = SequenceSignal(
    name="topic_evenness",
    units="ratio",
    formula="(1 / share of pairs of one topic) / expected topics among 50, every prompt once",
    source="Hill numbers (Hill, Ecology 54, 1973): order 2 against order 0, rarefied",
    sees="a corpus run through evenly against favourites",
    misses="collections that are uneven themselves",
    says="its topics are used with an evenness of {value:.2f}",
    compute=compute,
)
