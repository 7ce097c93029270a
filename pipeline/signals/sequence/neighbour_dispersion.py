"""How unequal the nearest distances of an account are.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([i // 2 for i in range(32)]))
0.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    _, cosine = records.nearest
    distance = 1.0 - cosine[records.first_time & ~np.isnan(cosine)]
    if len(distance) < 20:
        return NAN
    return float(np.std(np.maximum(distance, 0.0)))


SIGNAL = SequenceSignal(
    name="neighbour_dispersion",
    units="cosine distance",
    formula="standard deviation of the distance to the nearest other prompt, every prompt once",
    source="PRADA (arXiv 1805.02628) and SEAT (AISec 2021) test the same distances",
    sees="dense places beside lone prompts (users, drafts) against even coverage",
    misses="collections that are themselves uneven",
    says="its nearest distances scatter by {value:.2f}",
    compute=compute,
)
