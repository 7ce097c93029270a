"""How unequal the numbers of times are that prompts were sent.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(40))), 6), round(compute(sequence(range(40), prompts=[i // 4 for i in range(40)])), 6)
(0.0, 0.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    counts = records.multiplicity.astype(np.float64)
    if len(counts) < 8:
        return NAN
    return float(np.log1p(counts.var() / counts.mean()))


SIGNAL = SequenceSignal(
    name="multiplicity_dispersion",
    units="log",
    formula="log(1 + variance / mean of the numbers of times each different prompt was sent)",
    source="index of dispersion (Fisher 1925)",
    sees="every prompt once, or each four times: zero; popular questions: large",
    misses="retries of a program that fails now and then",
    says="the numbers of times its prompts were sent have a dispersion of {value:.2f}",
    compute=compute,
)
