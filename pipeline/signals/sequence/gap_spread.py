"""How widely pauses scatter, on a logarithmic scale.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(30)))
0.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    low, high = np.quantile(records.log_gaps, [0.1, 0.9])
    return float(high - low)


SIGNAL = SequenceSignal(
    name="gap_spread",
    units="log of seconds",
    formula="90 % quantile - 10 % quantile of log pauses",
    source="coefficient of variation on a log scale, robust",
    sees="even pacing against bursts with nights between",
    misses="even pacing is what a good client library does",
    says="its pauses range over a factor of {exponential}",
    compute=compute,
)
