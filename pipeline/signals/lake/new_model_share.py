"""How far the account has moved to the models that appeared while the lake was filled.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> models = [[0] * 20, [0] * 10 + [1] * 10, [0] * 19 + [1]]
>>> compute(lake([[0] * 20] * 3, models=models)).tolist()
[0.0, 1.0, 0.1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    sample = accounts.sample
    out = np.full(len(accounts), np.nan)
    known = sample.model >= 0
    if not known.any():
        return out
    begin, end = int(sample.time[known].min()), int(sample.time[known].max())
    models, inverse = np.unique(sample.model[known], return_inverse=True)
    first = np.full(len(models), end, np.int64)
    np.minimum.at(first, inverse, sample.time[known])
    new = first > begin + (end - begin) * QUIET
    if not new.any():
        return out
    since = sample.time >= first[new].min()
    fresh = np.zeros(len(known), bool)
    fresh[known] = new[inverse]
    n = len(accounts)
    after = np.bincount(sample.owner[known & since], minlength=n)
    moved = np.bincount(sample.owner[fresh & since], minlength=n)
    return np.where(after >= FEWEST, moved / np.maximum(after, 1), np.nan)


QUIET, FEWEST = 0.1, 5


SIGNAL = LakeSignal(
    name="new_model_share",
    units="share of records",
    formula="records of models first seen after the first tenth of the period / records since the first of them appeared, in the sample",
    source="Anthropic's report: nearly half of a campaign's traffic moved to a new model within 24 h of release",
    sees="the move to a new model, on the lake's own clock",
    misses="everybody moves; a lake without a release has no value",
    says="since models new in the lake appeared, {value:.0%} of its records have gone to them",
    compute=compute,
)
