"""The number of records, and of records in the busiest hour.

Source: rate limits of every API; Elastic's rule "500 calls to one model in 60 minutes". Sees: a harvest by one account
that hurries. Misses: 24,000 accounts with 26 requests a day each. Accuses: resellers, batch jobs, evaluations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

_HOUR_US = 3_600_000_000


class Volume:
    """Records of the account."""

    name = "volume"

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """Records; ties are broken by the busiest hour."""
        del pool
        return accounts.records + busiest_hour(accounts) / (1.0 + busiest_hour(accounts))


def busiest_hour(accounts: Accounts) -> NDArray[np.float64]:
    """Most records in one hour of the clock, float64[n]."""
    hour = (accounts.numbers("event_time") // _HOUR_US).astype(np.int64)
    owner = accounts.owner()
    keys, count = np.unique(np.stack([owner, hour]), axis=1, return_counts=True)
    out = np.zeros(len(accounts))
    np.maximum.at(out, keys[0], count.astype(np.float64))
    return out
