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

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    near = records.sitting & records.other_prompt
    later = records.later & records.other_prompt
    if np.count_nonzero(near) < 20 or np.count_nonzero(later) < 20:
        return NAN
    now, then = records.mean_where(near), records.mean_where(later)
    return (now - then) / (1.0 - then) if then < 1 - 1e-6 else NAN


SIGNAL = SequenceSignal(
    name="recency_similarity",
    units="share of the account's dispersion",
    formula="(mean cosine within 10 min - mean cosine beyond 1 h) / (1 - the latter), different prompts only",
    source="intraclass correlation (Fisher 1925) with time in place of classes; it does not depend on the number of records",
    sees="sittings with a subject, also where several streams run side by side",
    misses="a corpus walked through in an order of subjects looks like sittings",
    says="its prompts of one sitting are {size:.2f} of its dispersion {closer} than later ones",
    compute=compute,
)
