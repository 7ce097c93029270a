"""Requests per session.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(32))), 6)
5.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    size = np.bincount(records.session)
    return float(np.log2((size.astype(np.float64) ** 2).sum() / size.sum()))


SIGNAL = SequenceSignal(
    name="session_length",
    units="log2 of records",
    formula="log2 of the mean size of a record's session; a session ends with a silence of 10 minutes",
    source="session analysis of web logs (Catledge & Pitkow 1995), with a shorter pause",
    sees="long runs of programs, short sittings of people",
    misses="coding agents run long as well",
    says="a record of it is in a session of {doubled} records on average",
    compute=compute,
)
