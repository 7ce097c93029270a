"""How many different pauses there are between requests.

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
    gaps = np.maximum(np.diff(records.time), 1000) / 1e6
    if len(gaps) < 20:
        return NAN
    # Logs with whole seconds have pauses of 1, 2, 4, ... of them, on the edge of a bin: a logarithm might fall short of it.
    part, octave = np.frexp(gaps)
    half = 2 * octave + (part >= np.sqrt(0.5))
    counts = np.unique(half, return_counts=True)[1].astype(np.float64)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum() + (len(counts) - 1) / (2 * counts.sum()))


SIGNAL = SequenceSignal(
    name="gap_entropy",
    units="nats",
    formula="Shannon entropy of pauses in half-octaves, Miller-Madow corrected",
    source="Miller 1955; Anthropic's report of 23 Feb 2026: load-balanced timing",
    sees="clockwork against human hands",
    misses="jitter costs an attacker nothing; batch jobs are clockwork too",
    says="its pauses have an entropy of {value:.2f} nats",
    compute=compute,
)
