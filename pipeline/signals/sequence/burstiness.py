"""Whether requests come evenly (-1), at random (0) or in bursts (1).

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(30))), 6)
-1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    gaps = np.diff(records.time) / 1e6
    mean, n = float(gaps.mean()), len(gaps)
    if mean <= 0:
        return NAN
    r = float(gaps.std()) / mean
    return float((np.sqrt(n + 1) * r - np.sqrt(n - 1)) / ((np.sqrt(n + 1) - 2) * r + np.sqrt(n - 1)))


SIGNAL = SequenceSignal(
    name="burstiness",
    units="-1 to 1",
    formula="(sqrt(n+1) r - sqrt(n-1)) / ((sqrt(n+1) - 2) r + sqrt(n-1)), r = standard deviation / mean of pauses",
    source="Goh & Barabasi, EPL 81, 2008, for finite n after Kim & Jo, Phys. Rev. E 94, 2016",
    sees="load balancing and round-the-clock drips",
    misses="long silences decide it",
    says="the burstiness of its pauses is {value:.2f}",
    compute=compute,
)
