"""Distance to the nearest of about fifty other prompts of the account.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0] * 20)), compute(sequence([i % 16 for i in range(20)], prompts=[i % 16 for i in range(20)]))
(0.0, 1.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    others = np.count_nonzero(records.other_prompt, axis=1)
    usable = others >= 10
    if usable.sum() < 10:
        return NAN
    # One in fifty: the nearest of fifty drawn at random, so that large accounts are not closer by size alone.
    place = np.ceil(others[usable] / 50).astype(np.int64) - 1
    place = len(records) - 1 - place
    ordered = np.partition(records.shown[usable], np.unique(place), axis=1)
    return float(np.median(1.0 - ordered[np.arange(len(place)), place].astype(np.float64)))


SIGNAL = SequenceSignal(
    name="neighbour_distance",
    units="cosine distance",
    formula="median over records of the 2 % quantile of distances to its other prompts",
    source="PRADA (arXiv 1805.02628) looks at nearest distances; the quantile takes the place of the minimum, which shrinks with the number of records",
    sees="narrow and wide accounts on the scale of neighbours",
    misses="it is likeness of content: a batch job is narrow, a chat is wide, a harvest either",
    says="the nearest of fifty of its other prompts lies at a distance of {value:.2f}",
    compute=compute,
)
