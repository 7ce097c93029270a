"""How much more alike consecutive prompts of a session are than any two prompts of the account.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence([0] * 10 + [1] * 10)), 3), round(compute(sequence([0, 1] * 10)), 3)
(0.9, -0.9)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    follows = (np.diff(records.session) == 0) & (np.diff(records.prompt) != 0)
    rows = np.flatnonzero(follows)
    if len(rows) < 10 or records.mean_cosine > 1 - 1e-6:
        return NAN
    close = float(records.cosine[rows, rows + 1].mean(dtype=np.float64))
    return (close - records.mean_cosine) / (1.0 - records.mean_cosine)


SIGNAL = SequenceSignal(
    name="session_coherence",
    units="share of the account's dispersion",
    formula="(mean cosine of consecutive different prompts of a session - mean pairwise cosine) / (1 - mean pairwise cosine)",
    source="own experiments: sequence signals",
    sees="people and agents stay with a subject; a program that draws from a list does not",
    misses="lists in an order of subjects, and harvests that imitate sessions; streams that run side by side hide each other's sessions",
    says="its consecutive prompts of a session are {size:.2f} of its dispersion {closer} than any two",
    compute=compute,
)
