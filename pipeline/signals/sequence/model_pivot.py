"""The largest change of a model's share in the course of the account.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(40), model=[0] * 20 + [1] * 20))
1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, UNKNOWN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    model = records.code("model")
    model = model[model != UNKNOWN]
    n = len(model)
    edge = max(5, n // 10)
    if n < 4 * edge:
        return NAN
    place = np.arange(edge, n - edge + 1)
    best, change = -1.0, 0.0
    first = np.sort(np.unique(model, return_index=True)[1])
    for row in first.tolist():
        seen = np.cumsum(model == model[row])
        before = seen[place - 1] / place
        after = (seen[-1] - seen[place - 1]) / (n - place)
        share = seen[-1] / n
        z = (after - before) ** 2 * place * (n - place)
        where = int(z.argmax())
        # Ties in the size of the evidence go to the model that came first.
        if share < 1 and z[where] / (share * (1 - share)) > best + 1e-9:
            best = float(z[where] / (share * (1 - share)))
            change = float(abs(after[where] - before[where]))
    return change


SIGNAL = SequenceSignal(
    name="model_pivot",
    units="share of records",
    formula="share after - share before at the most likely change point, over models and change points",
    source="change point of a binomial series (Hinkley & Hinkley, Biometrika 57, 1970); Anthropic's report: half the traffic moved to a new model within 24 h",
    sees="the move to a newly released model",
    misses="everybody moves to new models; whether earlier than others is `new_model_share` of the lake signals",
    says="the share of one of its models is {size:.0%} {higher} later than before",
    compute=compute,
)
