"""How often the nearest prompt in content is also near in time.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence([i // 2 for i in range(40)])), 2)
1.63
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


WIDTH = 3


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    row, cosine = records.nearest
    known = np.flatnonzero(~np.isnan(cosine))
    n = len(records)
    if len(known) < 20:
        return NAN
    close = (np.abs(row[known] - known) <= WIDTH).sum()
    # How many of the others lie that near in the sequence, for records at its ends too.
    expected = (np.minimum(known, WIDTH) + np.minimum(n - 1 - known, WIDTH)).sum() / (n - 1)
    return float(np.log((close + 0.5) / (expected + 0.5)))


SIGNAL = SequenceSignal(
    name="time_neighbours",
    units="log ratio",
    formula="log(records whose nearest other prompt lies within 3 places in time / expected if order were random)",
    source="own experiments: neighbours in time against neighbours in content",
    sees="sittings, conversations, drafts of one text",
    misses="sequences without order, and very large accounts of which only a part is read",
    says="a prompt of it and the nearest other one are close in time {exponential} times as often as by chance",
    compute=compute,
)
