"""Mean Mahalanobis distance of an account's records to a pool of ordinary ones.

Source: Lee, Lee, Lee & Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
attacks", NeurIPS 2018, with one Gaussian; covariance shrunk to its diagonal by a tenth.
Sees: records far out. Misses: harvests in the middle of ordinary content. Accuses: niches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate.accounts import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

SHRINKAGE = 0.1


class Mahalanobis:
    """Mean squared distance over the account's records."""

    name = "Mahalanobis"

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """About the dimension for records like the pool's."""
        rows = unit(pool).astype(np.float64)
        centre = rows.mean(axis=0)
        covariance = np.cov(rows, rowvar=False)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(
            len(covariance)
        ) * covariance.trace() / len(covariance)
        # |L^-1 x|^2 with L L' the covariance.
        whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T.astype(np.float32)
        distance = np.empty(len(accounts.vectors))
        for cut, block in accounts.unit_blocks():
            white = (block - centre.astype(np.float32)) @ whiten
            distance[cut] = np.einsum("ij,ij->i", white, white)
        return accounts.means(distance)
