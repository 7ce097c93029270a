"""How often two different prompts of the account say nearly the same.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 0, *range(1, 16), 1, 2, 3], prompts=range(20))) > 0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal, pairs_among

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


NEAR = np.float32(0.85)


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    rows = np.flatnonzero(records.first_time)
    if len(rows) < 20:
        return NAN
    near = pairs_among(records.cosine >= NEAR, rows)
    n = len(rows)
    return float(near - n) / (n * (n - 1))


SIGNAL = SequenceSignal(
    name="near_pair_rate",
    units="share of pairs",
    formula="pairs of different prompts with cosine at least .85 / all pairs of different prompts",
    source="SEAT (AISec 2021): close pairs; own experiments: near-duplicates, few = attack",
    sees="drafts, rephrasings, one form filled in again and again",
    misses="templates around short slots make harvests near as well",
    says="{value:.1%} of the pairs of its prompts are nearly the same",
    compute=compute,
)
