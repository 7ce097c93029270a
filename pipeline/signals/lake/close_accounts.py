"""How many accounts have nearly the same mean prompt.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 9, [0] * 9, [1] * 9])).round(2).tolist()
[1.0, 1.0, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


CLOSE = 0.95


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    _, cosine = accounts.peers
    known = ~np.isnan(cosine).all(axis=1)
    return np.where(known, np.log2(1.0 + (cosine >= CLOSE).sum(axis=1)), np.nan)


SIGNAL = LakeSignal(
    name="close_accounts",
    units="log2 of accounts",
    formula="log2(1 + peers with debiased centroid cosine at least .95), at most 20",
    source="own experiments: peers, the 20 nearest accounts by debiased centroid cosine",
    sees="crowds on one distribution",
    misses="support bots of one trade are a crowd too",
    says="the accounts with nearly its mean prompt, of the 20 nearest, number {doubled_less_one}",
    compute=compute,
)
