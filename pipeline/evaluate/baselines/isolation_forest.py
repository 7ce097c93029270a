"""Isolation forest on the product's own signals: shows whether it is the model that helps, or just the signals.

Source: Liu, Ting & Zhou, "Isolation forest", ICDM 2008: 100 trees on 256 accounts each, random signal, random cut; the
score is ``2 ** (-mean depth / c(256))``. A missing value takes the signal's median.
Sees: accounts unlike all others. Misses: a hydra, whose members are like each other. Accuses: whoever is rare.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

TREES = 100
SAMPLE = 256


class IsolationForest:
    """Anomaly score in (0, 1)."""

    name = "isolation forest"

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """Of every account, by the others."""
        del pool
        columns = [column for column in accounts.signals().columns.values() if not np.isnan(column).all()]
        values = np.stack([np.where(np.isnan(c), np.nanmedian(c), c) for c in columns], axis=1)
        return isolation_scores(values, self._seed)


def isolation_scores(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Scores float64[n] of rows float64[n, signals]."""
    rng = np.random.default_rng([seed, 0x1F])
    sample = min(SAMPLE, len(values))
    depth = np.zeros(len(values))
    for _ in range(TREES):
        rows = values[rng.choice(len(values), sample, replace=False)]
        _fall(values, np.arange(len(values)), rows, 0, math.ceil(math.log2(max(2, sample))), depth, rng)
    return np.asarray(2.0 ** (-depth / TREES / max(average_depth(sample), 1e-9)))


def average_depth(n: int) -> float:
    """Mean depth of an unsuccessful search in a binary tree of n: ``2 H(n - 1) - 2 (n - 1) / n``."""
    if n <= 1:
        return 0.0
    return 2 * (math.log(n - 1) + 0.5772156649) - 2 * (n - 1) / n if n > 2 else 1.0


def _fall(
    values: NDArray[np.float64],
    index: NDArray[np.int64],
    rows: NDArray[np.float64],
    depth: int,
    limit: int,
    out: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Grow one node of a tree on ``rows`` and let the accounts ``index`` fall through it."""
    low, high = (rows.min(axis=0), rows.max(axis=0)) if len(rows) else (np.zeros(0), np.zeros(0))
    able = np.flatnonzero(high > low)
    if depth >= limit or len(rows) <= 1 or not len(able) or not len(index):
        out[index] += depth + average_depth(len(rows))
        return
    signal = int(rng.choice(able))
    cut = rng.uniform(low[signal], high[signal])
    left, mine = rows[:, signal] < cut, values[index, signal] < cut
    _fall(values, index[mine], rows[left], depth + 1, limit, out, rng)
    _fall(values, index[~mine], rows[~left], depth + 1, limit, out, rng)
