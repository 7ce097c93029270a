"""How much the subject moves over a tenth of the sequence, against any two prompts.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([i // 10 for i in range(40)])) > 0.1, round(compute(sequence([0, 1] * 20)), 1)
(True, 0.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    n = len(records)
    least, most = n // 20 + 1, max(n // 10, n // 20 + 1)
    # The pairs so many steps apart are diagonals, each pair in both of its orders.
    steps = [*range(least, most + 1), *range(-most, -least + 1)]
    shown = np.concatenate([records.other_prompt.diagonal(step) for step in steps])
    if np.count_nonzero(shown) < 20 or records.mean_cosine > 1 - 1e-6:
        return NAN
    value = float(
        np.concatenate([records.cosine.diagonal(step) for step in steps])[shown].mean(dtype=np.float64)
    )
    return (value - records.mean_cosine) / (1.0 - records.mean_cosine)


SIGNAL = SequenceSignal(
    name="wander",
    units="share of the account's dispersion",
    formula="(mean cosine of records 1/20 to 1/10 of the sequence apart - mean pairwise cosine) / (1 - the latter)",
    source="correlogram (Box & Jenkins 1970) at one scale of the sequence",
    sees="ordered corpora and projects: the subject drifts slowly",
    misses="shuffled lists and applications with many users alike",
    says="its records a tenth of the sequence apart are {size:.2f} of its dispersion {closer} than any two",
    compute=compute,
)
