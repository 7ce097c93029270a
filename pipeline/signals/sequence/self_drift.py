"""How far the second half of the account is from the first.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence([0] * 30 + [1] * 30)), 2), round(compute(sequence([0, 1] * 30)), 2)
(3.93, -0.07)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    half = len(records) // 2
    c = records.cosine

    def mean(rows: slice) -> float:
        part = c[rows, rows]
        n = len(part)
        return float(part.sum(dtype=np.float64) - part.diagonal().sum(dtype=np.float64)) / (n * (n - 1))

    past, now = slice(0, half), slice(half, len(records))
    apart = mean(past) + mean(now) - 2.0 * float(c[past, now].mean(dtype=np.float64))
    return apart / (1.0 - records.mean_cosine) if records.mean_cosine < 1 - 1e-6 else NAN


SIGNAL = SequenceSignal(
    name="self_drift",
    units="share of the account's dispersion",
    formula="unbiased squared distance of the mean directions of both halves / (1 - mean pairwise cosine)",
    source="MMD^2 with the linear kernel (Gretton et al., JMLR 13, 2012); own experiments: self-drift",
    sees="an account that changes hands or purpose",
    misses="ordered corpora drift too; a harvest from the first day on does not",
    says="its two halves are {value:.2f} of its dispersion apart (0: not at all; noise can take it below)",
    compute=compute,
)
