"""PRADA: whether an account's distances to its own earlier requests are normally distributed.

Source: Juuti, Szyller, Marchal & Asokan, "PRADA: protecting against DNN model stealing attacks", EuroS&P 2019
(arXiv 1805.02628). For each request the smallest distance to an earlier one; distances beyond three deviations are
left out; the statistic is Shapiro and Wilk's W, and a small W is an alarm (score 1 - W).
Sees: synthetic queries walking away from seeds. Misses: a corpus sent as it is. Accuses: whoever repeats himself, because
repeats make two heaps of distances.
The original compares within a predicted class of an image model; here an account is one class.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import shapiro

from pipeline.evaluate.accounts import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

MOST = 1500
FEWEST = 20


class Prada:
    """1 - W of the smallest distances, over at most the newest `MOST` records."""

    name = "PRADA"

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """In [0, 1]; NaN below `FEWEST` records or where all distances are the same."""
        del pool
        return np.array([one_minus_w(accounts.vectors_of(i)[-MOST:]) for i in range(len(accounts))])


def smallest_distances(vectors: NDArray[np.int8]) -> NDArray[np.float64]:
    """Euclidean distance of each unit vector but the first to the nearest earlier one, float64[n - 1]."""
    rows = unit(vectors)
    cosine = rows @ rows.T
    cosine += _later(max(MOST, len(rows)))[: len(rows), : len(rows)]
    largest = cosine[1:].max(axis=1).astype(np.float64)
    return np.asarray(np.sqrt(np.maximum(0.0, 2.0 - 2.0 * largest)))


@lru_cache(maxsize=1)
def _later(size: int) -> NDArray[np.float32]:
    """Takes a row itself and later ones out of the running, float32[size, size]."""
    return np.triu(np.full((size, size), -4.0, np.float32))


def one_minus_w(vectors: NDArray[np.int8]) -> float:
    """The statistic of one account."""
    if len(vectors) < FEWEST:
        return float("nan")
    distances = smallest_distances(vectors)
    inside = distances[np.abs(distances - distances.mean()) <= 3 * distances.std()]
    if len(inside) < FEWEST - 1 or np.ptp(inside) < 1e-9:
        return float("nan")
    with warnings.catch_warnings():
        # W alone is used, never the p-value that scipy warns about.
        warnings.simplefilter("ignore")
        return 1.0 - float(shapiro(inside).statistic)
