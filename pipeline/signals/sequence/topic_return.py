"""How often an account comes back, in another sitting, to a topic it had before.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> times = [i * 7200 for i in range(60)]
>>> compute(sequence([i % 2 for i in range(60)], seconds=times)) > compute(sequence(list(range(60)), seconds=times))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal, pairs_among

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


NEAR = np.float32(0.7)


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    rows = np.flatnonzero(records.first_time)
    count = pairs_among(records.later, rows)
    if count < 200:
        return NAN
    near = pairs_among((records.cosine >= NEAR) & records.later, rows)
    # Of fifty prompts of other sittings, how many say something close: the rate, on a log scale, for ranks and plots.
    return float(np.log((50.0 * near + 1.0) / (count + 1.0) + 1e-3))


SIGNAL = SequenceSignal(
    name="topic_return",
    units="log",
    formula="log(50 x share of pairs of different prompts, more than an hour apart, with cosine at least .7 + .001)",
    source="own experiments: a harvest covers its corpus evenly and once, a specialist a region, again and again, in sessions",
    sees="the same few subjects day after day, without copies",
    misses="a narrow corpus comes back as well: see `own_against_peers` of the lake signals",
    says="of fifty of its prompts of other sittings {exponential} say something close to one",
    compute=compute,
)
