"""Groups of accounts from scored pairs: Leiden on the pairs that are likely enough, then only members who belong.

Leiden (Traag, Waltman & van Eck, Sci. Rep. 9, 2019) with the constant Potts model: unlike modularity, what it finds in
one part of the graph does not depend on how large the rest is. Accounts enter in order of their ids and pairs in
order of their accounts, and igraph draws from a generator with a fixed seed, so that the order of input cannot matter.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_MEMBERS = 3

LEAST_LOG_ODDS = 0.0
"""Pairs below this are no edges."""

RESOLUTION = 0.05
"""Two groups stay apart unless so large a share of the pairs between them is an edge (weights count)."""

SEED = 20_24


def communities(
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    log_odds: NDArray[np.float64],
    *,
    least: float = LEAST_LOG_ODDS,
    resolution: float = RESOLUTION,
) -> list[NDArray[np.int64]]:
    """Groups of at least `MIN_MEMBERS` rows, each ascending, in order of their first.

    Parameters
    ----------
    one, two
        int64[m], pairs of rows, each pair once.
    log_odds
        float64[m], that they have one operator.
    least
        Pairs below are no edges.
    resolution
        Of the constant Potts model, in units of an edge of weight 1.
    """
    kept = np.flatnonzero(log_odds >= least)
    if len(kept) == 0:
        return []
    low, high = np.minimum(one[kept], two[kept]), np.maximum(one[kept], two[kept])
    order = np.lexsort((high, low))
    low, high, weight = low[order], high[order], np.round(expit(log_odds[kept][order]), 6)
    rows, ends = np.unique(np.concatenate([low, high]), return_inverse=True)
    # It loads matplotlib where there is one: a second, also for every process that only reads accounts.
    import igraph

    graph = igraph.Graph(n=len(rows), edges=np.stack([ends[: len(low)], ends[len(low) :]], axis=1).tolist())
    igraph.set_random_number_generator(random.Random(SEED))  # noqa: S311 - ties of an optimiser, not secrets
    try:
        parts = graph.community_leiden(
            objective_function="CPM", weights=weight.tolist(), resolution=resolution, n_iterations=-1
        )
    finally:
        igraph.set_random_number_generator(random)
    groups = [rows[np.sort(np.array(part, np.int64))] for part in parts if len(part) >= MIN_MEMBERS]
    return sorted(groups, key=lambda group: int(group[0]))
