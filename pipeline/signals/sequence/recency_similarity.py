"""How much more alike prompts of one sitting are than prompts more than an hour apart.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> times = [i * 10 if i < 10 else 10_000 + i * 10 for i in range(20)]
>>> compute(sequence([0] * 10 + [1] * 10, seconds=times))
1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import LATER_US, NAN, SESSION_GAP_US, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    near = (records.lag <= SESSION_GAP_US) & records.other_prompt
    later = (records.lag > LATER_US) & records.other_prompt
    if near.sum() < 20 or later.sum() < 20:
        return NAN
    now = float(records.cosine[near].mean(dtype=np.float64))
    then = float(records.cosine[later].mean(dtype=np.float64))
    return (now - then) / (1.0 - then) if then < 1 - 1e-6 else NAN


SIGNAL = SequenceSignal(
    name="recency_similarity",
    units="share of the account's dispersion",
    formula="(mean cosine within 10 min - mean cosine beyond 1 h) / (1 - the latter), different prompts only",
    source="intraclass correlation (Fisher 1925) with time in place of classes; it does not depend on the number of records",
    sees="sittings with a subject, also where several streams run side by side",
    misses="a corpus walked through in an order of subjects looks like sittings",
    says="prompts of one sitting are {value:.2f} of its dispersion closer than later ones",
    compute=compute,
)
