"""How regular the repeats are: the share of repeated prompts that were sent the most usual number of times.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(40), prompts=[i // 4 for i in range(40)]))
2.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    counts = records.multiplicity
    repeated = counts[counts >= 2]
    if len(repeated) < 5:
        return NAN
    sizes, times = np.unique(repeated, return_counts=True)
    best = int(times.argmax())
    return float(times[best] / len(repeated) * np.log2(sizes[best]))


SIGNAL = SequenceSignal(
    name="modal_multiplicity",
    units="log2 of times",
    formula="(share of repeated prompts with the most usual multiplicity m, ties to the smallest) log2 m",
    source="own experiments: every harvest that draws four answers was found",
    sees="the same number of answers drawn for every prompt",
    misses="retries (m = 2) look like two answers; n > 1 in one request repeats nothing",
    says="its repeats come in fixed numbers (measure {value:.1f}, 0 without)",
    compute=compute,
)
