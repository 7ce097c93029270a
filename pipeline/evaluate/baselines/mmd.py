"""Maximum mean discrepancy of an account's embeddings to a pool of ordinary records.

Source: Gretton et al., "A kernel two-sample test", JMLR 13, 2012; as a detector of distillation traffic: LabRAI
(arXiv 2606.05725, 2026), with windows of 1,500 records against an i.i.d. benign pool. Gaussian kernel, width the median
distance in the pool, by random Fourier features (Rahimi & Recht, NIPS 2007): the unbiased square,
``|m - p|^2`` less what the spread of n records adds to it.
Sees: content that differs from the pool. Misses: a harvest spread as widely as the pool. Accuses: every account with a
topic of its own (niches, batch jobs, one-task evaluations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate.accounts import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

FEATURES = 512


class Mmd:
    """Unbiased MMD^2 to the pool."""

    name = "MMD"

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """Around 0 for an account like the pool; NaN for a single record."""
        features = RandomFeatures(pool, self._seed)
        sums = np.zeros((len(accounts), FEATURES))
        squares = np.zeros(len(accounts))
        owner = accounts.owner()
        for cut, rows in accounts.unit_blocks():
            values = features(rows)
            first = np.flatnonzero(np.diff(owner[cut], prepend=-1))
            sums[owner[cut][first]] += np.add.reduceat(values, first, axis=0)
            squares += np.bincount(owner[cut], np.einsum("ij,ij->i", values, values), len(accounts))
        n = accounts.records.astype(np.float64)
        centre = np.mean(
            [features(unit(pool[i : i + 8192])).mean(axis=0) for i in range(0, len(pool), 8192)], axis=0
        )
        own = np.einsum("ij,ij->i", sums, sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            within = (own - squares) / (n * (n - 1))
        out = within - 2 * (sums @ centre) / np.maximum(n, 1) + float(centre @ centre)
        return np.where(n >= 2, out, np.nan)


class RandomFeatures:
    """``sqrt(2 / D) cos(w x + b)``, w normal over the pool's median distance."""

    def __init__(self, pool: NDArray[np.int8], seed: int) -> None:
        rng = np.random.default_rng([seed, 0x3D])
        sample = unit(pool[rng.permutation(len(pool))[:1000]])
        distance = np.sqrt(np.maximum(0, 2 - 2 * (sample @ sample.T)))[np.triu_indices(len(sample), 1)]
        width = max(float(np.median(distance)), 1e-3)
        self._w = (rng.standard_normal((pool.shape[1], FEATURES)) / width).astype(np.float32)
        self._b = rng.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[m, FEATURES]."""
        values = rows @ self._w + self._b
        np.cos(values, out=values)
        values *= np.float32(np.sqrt(2.0 / FEATURES))
        return values
