"""How often two records of different sittings have the same prompt.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> times = [i * 7200 for i in range(30)]
>>> round(compute(sequence(range(30), seconds=times, prompts=[i % 3 for i in range(30)])), 3)
0.31
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    later = records.later
    count = int(np.count_nonzero(later))
    if count < 100:
        return NAN
    return float(np.count_nonzero(later & ~records.other_prompt)) / count


SIGNAL = SequenceSignal(
    name="later_repeats",
    units="share of pairs",
    formula="pairs more than an hour apart with the same prompt / pairs more than an hour apart",
    source="collision statistic (Good, Annals of Statistics 10, 1982), restricted to pairs of different sittings",
    sees="questions that come again on another day; retries and several answers do not count",
    misses="harvests run twice; users who never repeat",
    says="{value:.2%} of its pairs of records of different sittings are the same prompt",
    compute=compute,
)
