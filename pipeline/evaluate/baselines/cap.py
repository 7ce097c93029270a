"""CAP: how much of the space an account covers, counted in anchors.

Source: coverage of anchors, IJCAI 2024, as `B4B` (arXiv 2310.08571) counts buckets: anchors are the centres of k-means on
a pool of ordinary records; the score is the number of anchors that the account's records are nearest to, over the
number that as many records of the pool would touch.
Sees: a harvest that covers everything evenly. Misses: a harvest of one capability. Accuses: resellers and broad chat.
Written from the published idea, not from its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate.accounts import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

ANCHORS = 256
ROUNDS = 8
FIT_ROWS = 8000


class Cap:
    """Anchors touched, relative to the pool's own coverage with as many records."""

    name = "CAP"

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """1 for an account that covers as much as the pool."""
        centres = anchors(unit(pool), self._seed)
        share = np.bincount(_nearest(unit(pool), centres), minlength=len(centres)) / len(pool)
        touched = np.zeros((len(accounts), len(centres)), bool)
        owner = accounts.owner()
        for cut, rows in accounts.unit_blocks():
            touched[owner[cut], _nearest(rows, centres)] = True
        n = accounts.records.astype(np.float64)
        expected = (1 - (1 - share) ** n[:, None]).sum(axis=1)
        return np.asarray(touched.sum(axis=1) / np.maximum(expected, 1e-9))


def anchors(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Centres of spherical k-means, float32[`ANCHORS`, d] (fewer for a small pool)."""
    rng = np.random.default_rng([seed, 0xCA9])
    rows = rows[np.sort(rng.permutation(len(rows))[:FIT_ROWS])]
    centres = rows[np.sort(rng.permutation(len(rows))[:ANCHORS])]
    for _ in range(ROUNDS):
        near = _nearest(rows, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, near, rows)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norms > 0, sums / np.maximum(norms, 1e-9), centres)
    return centres


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.concatenate(
        [(rows[i : i + 8192] @ centres.T).argmax(axis=1) for i in range(0, len(rows), 8192)]
    )
