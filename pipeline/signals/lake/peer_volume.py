"""Whether the accounts nearest in content send as much.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 8, [0] * 8, [0] * 32])).round(2).tolist()
[-1.0, -1.0, -2.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    size = np.log2(np.maximum(accounts.profiles.records, 1))
    return accounts.over_peers(lambda rows, others: -np.abs(size[rows] - size[others]))


SIGNAL = LakeSignal(
    name="peer_volume",
    units="log2",
    formula="minus the mean over 20 peers of |log2(records) - log2(their records)|",
    source="Anthropic's report: load-balanced traffic",
    sees="load balancing over accounts",
    misses="quotas that make everybody alike",
    says="of it and a near account the one that sends less sends {doubled} times as much as the other",
    compute=compute,
)
