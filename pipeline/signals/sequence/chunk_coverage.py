"""Topics met in twenty consecutive records, against twenty records drawn from the whole account.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([i // 20 for i in range(80)])) < -1, abs(compute(sequence([0, 1, 2, 3] * 20))) < 0.01
(True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal, expected_distinct

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


CHUNK = 20


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    chunks = len(records) // CHUNK
    if chunks < 3:
        return NAN
    expected = expected_distinct(np.unique(records.topic, return_counts=True)[1], CHUNK)
    topic = np.sort(records.topic[: chunks * CHUNK].reshape(chunks, CHUNK), axis=1)
    met = 1 + np.count_nonzero(np.diff(topic, axis=1), axis=1)
    return float(np.log(np.mean(met) / expected))


SIGNAL = SequenceSignal(
    name="chunk_coverage",
    units="log ratio",
    formula="log(mean topics in 20 consecutive records / expected topics in 20 random records)",
    source="species accumulation against rarefaction (Gotelli & Colwell, Ecology Letters 4, 2001)",
    sees="sittings keep to a region; a shuffled list covers everything at once",
    misses="ordered lists look like sittings",
    says="twenty consecutive records of it meet {exponential} times the topics of twenty random ones",
    compute=compute,
    minimum=60,
)
