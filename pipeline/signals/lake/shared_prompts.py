"""How many of the account's prompts others send as well.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 4, [0] * 4, [0] * 4], prompts=[[1, 2, 3, 4], [3, 4, 5, 6], [7, 8, 9, 10]])).tolist()
[0.5, 0.5, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.kernels.distinct import PADDING
from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    sketch = accounts.profiles.distinct["prompt_distinct"]
    real = sketch != np.uint64(PADDING)
    values, times = np.unique(sketch[real], return_counts=True)
    found = np.zeros(sketch.shape, bool)
    found[real] = times[np.searchsorted(values, sketch[real])] > 1
    size = real.sum(axis=1)
    return np.where(size > 0, found.sum(axis=1) / np.maximum(size, 1), np.nan)


SIGNAL = LakeSignal(
    name="shared_prompts",
    units="share of prompts",
    formula="prompts of the account's sketch that are in another account's sketch / prompts in its sketch",
    source="own experiments: lake signals (a codebook fitted in the lake); sketches keep the 64 smallest hashes, so large accounts are met less",
    sees="public sets (evaluation, published corpora), applications with ready questions",
    misses="a harvest of a corpus of its own shares nothing, and so does a user's own work",
    says="{value:.1%} of its prompts are sent by others too",
    compute=compute,
)
