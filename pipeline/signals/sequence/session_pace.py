"""How even the pauses inside a session are.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(30)))
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
    inside = np.diff(records.session) == 0
    if inside.sum() < 20:
        return NAN
    gaps = records.log_gaps[inside]
    low, high = np.quantile(gaps, [0.25, 0.75])
    return float(high - low)


SIGNAL = SequenceSignal(
    name="session_pace",
    units="log of seconds",
    formula="interquartile range of log pauses shorter than 10 minutes",
    source="this project",
    sees="a program's beat against reading and typing",
    misses="several streams beside each other have no beat",
    says="its pauses in a session range over a factor of {exponential}",
    compute=compute,
)
