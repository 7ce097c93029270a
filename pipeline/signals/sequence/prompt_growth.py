"""How fast new prompts still come: the exponent of different prompts over records.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(80))), 6), round(compute(sequence(range(80), prompts=[i % 4 for i in range(80)])), 2)
(1.0, 0.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal, expected_distinct

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    n = len(records)
    counts = records.multiplicity
    return float(np.log(len(counts) / expected_distinct(counts, n // 4)) / np.log(n / (n // 4)))


SIGNAL = SequenceSignal(
    name="prompt_growth",
    units="exponent",
    formula="log(different prompts of n / expected of n/4 random records) / log(n / (n/4))",
    source="Heaps 1978; rarefied, so that order does not matter",
    sees="a list that never ends has exponent 1",
    misses="benign accounts that never repeat",
    says="its different prompts grow with the power {value:.2f} of its records",
    compute=compute,
    minimum=40,
)
