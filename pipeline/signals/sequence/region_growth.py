"""How fast new ground is covered: the exponent of distinct near-neighbour cells over records.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([i % 16 for i in range(160)], prompts=range(160))), compute(sequence([0] * 80))
(0.0, 0.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


NEAR = np.float32(0.7)


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    n = len(records)
    near = records.cosine >= NEAR
    # A record is new ground if no earlier one is near it; counted in the order of time, and up to a quarter of it.
    place = np.arange(n)
    first = near.argmax(axis=1)
    fresh = np.flatnonzero(~((first < place) & near[place, first]))
    part = n // 4
    return float(np.log(len(fresh) / (fresh < part).sum()) / np.log(n / part))


SIGNAL = SequenceSignal(
    name="region_growth",
    units="exponent",
    formula="log(records without an earlier one at cosine .7, of n / of the first n/4) / log(n / (n/4))",
    source="Heaps 1978 on a cover by balls of cosine .7",
    sees="even coverage of a corpus goes on, a region is soon known",
    misses="broad chat goes on as well",
    says="the new ground that it covers grows with the power {value:.2f} of its records",
    compute=compute,
    minimum=40,
)
