"""SEAT: the share of an account's requests that lie close to an earlier one.

Source: Zhang, Chen, Fawaz & Jha, "SEAT: similarity encoder by adversarial training for detecting model extraction
attack queries", AISec 2021: pairs of queries closer than a threshold in an encoder's space are counted, and an
account with too many is stopped. Sees: small changes of one prompt (synthesis around seeds). Misses: a corpus walked
through once. Accuses: support bots and tests, which ask the same thing again and again.
Our encoder is the embedding itself; the threshold is `CLOSE`, and exact repeats count, as in the original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate.baselines.prada import smallest_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

MOST = 1500
# Euclidean distance of unit vectors: cosine .92.
CLOSE = 0.4


class Seat:
    """Close requests per request, over at most the newest `MOST`."""

    name = "SEAT"

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """In [0, 1]; NaN for a single record."""
        del pool
        out = np.full(len(accounts), np.nan)
        for i in range(len(accounts)):
            distances = smallest_distances(accounts.vectors_of(i)[-MOST:])
            if len(distances):
                out[i] = float((distances < CLOSE).mean())
        return out
