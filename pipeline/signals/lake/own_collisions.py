"""Whether two prompts of the account are closer to each other than to those of its peers: a region, or the whole of what the peers share.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> region, corpus = [0, 1] * 20, list(range(20)) * 2
>>> found = compute(lake([region, *[corpus] * 4]))
>>> bool(found[0] > found[1:].max())
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    counts, shares = accounts.cell_counts.astype(np.float64), accounts.cell_shares
    n = counts.sum(axis=1)
    pairs = n * (n - 1)
    own = ((counts * (counts - 1)).sum(axis=1) + 0.5) / (pairs + 1.0)
    across = accounts.over_peers(lambda rows, others: (shares[rows] * shares[others]).sum(axis=1))
    return np.where(n >= 10, np.log((own + 1e-4) / (across + 1e-4)), np.nan)


SIGNAL = LakeSignal(
    name="own_collisions",
    units="log ratio",
    formula="log(share of own pairs in one cell / mean over 20 peers of the chance that one prompt of each meets in a cell)",
    source="own experiments on specialists: a harvest covers its corpus evenly and once, a specialist a region; collision statistics (Good 1982)",
    sees="specialists that work in a part of what their peers work on",
    misses="cells are coarse; accounts without true peers look like regions",
    says="two of its prompts meet in a cell {exponential} times as often as one of its and one of a peer's",
    compute=compute,
)
