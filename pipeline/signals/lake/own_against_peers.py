"""Whether the account's nearest prompt is its own or a peer's.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> found = compute(lake([[0] * 20, *[[1, 2, 3, 4] * 5] * 4]))
>>> bool(found[0] > found[1])
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal
from pipeline.signals.lake.records import unit

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


FEWEST = 12


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    rows = accounts.first_prompts
    owner = accounts.sample.owner[rows]
    starts = np.searchsorted(owner, np.arange(len(accounts) + 1))
    peers, _ = accounts.peers
    out = np.full(len(accounts), np.nan)
    for row in np.flatnonzero(np.diff(starts) >= FEWEST).tolist():
        mine = rows[starts[row] : starts[row + 1]]
        pool = np.concatenate([rows[starts[p] : starts[p + 1]] for p in peers[row] if p >= 0] or [mine[:0]])
        # As many strangers as there are own prompts beside each: else the larger crowd would be nearer.
        others = (
            pool[np.arange(len(mine) - 1) * len(pool) // (len(mine) - 1)] if len(pool) >= len(mine) else pool
        )
        if len(others) < len(mine) - 1:
            continue
        codes = accounts.sample.prompt
        own = unit(accounts, mine)
        inside = accounts.product(own, own)
        np.fill_diagonal(inside, -np.inf)
        outside = accounts.product(own, unit(accounts, others))
        # The same prompt in a peer's hands is a shared corpus, not nearness.
        outside[(codes[mine][:, None] == codes[others][None, :]) & (codes[mine][:, None] >= 0)] = -np.inf
        best = np.array([inside.max(axis=1), outside.max(axis=1)], np.float64)
        known = np.isfinite(best).all(axis=0)
        if known.sum() >= FEWEST:
            # Distances, on the scale of the grid's squared length.
            size = (own * own).sum(axis=1, dtype=np.float64)[known]
            near = np.maximum(1.0 - best[:, known] / size, 1e-3)
            out[row] = np.median(np.log(near[1] / near[0]))
    return out


SIGNAL = LakeSignal(
    name="own_against_peers",
    units="log ratio",
    formula="median over sampled prompts of log(distance to the nearest of as many prompts of 20 peers / distance to the nearest other own prompt)",
    source="two-sample nearest-neighbour statistic (Schilling, JASA 81, 1986), one-sided; own experiments on specialists",
    sees="regions, users and drafts (high) against even draws from what the peers draw from (0)",
    misses="an account alone with its subject is far from everybody: high as well",
    says="the nearest prompt of its peers is {exponential} times as far from a prompt of it as the nearest of its own",
    compute=compute,
)
