"""Whether other things are asked at other hours.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> times = [i * 43_200 for i in range(40)]
>>> compute(sequence([0, 1] * 20, seconds=times)) > 20
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.dependence import clock, dependence

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return dependence(records, clock(records.time), np.ones(len(records), bool))


SIGNAL = SequenceSignal(
    name="hour_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the time of day on a circle",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="a program at night beside people by day",
    misses="offices in several time zones; ordered lists",
    says="its content depends on the time of day {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
