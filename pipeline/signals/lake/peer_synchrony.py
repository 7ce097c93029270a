"""Whether the accounts nearest in content are active in the same hours of the calendar.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> import numpy as np
>>> busy = np.array([[9, 0, 0, 0], [9, 0, 0, 0], [0, 0, 9, 0], [0, 0, 9, 0]])
>>> compute(lake([[0] * 9, [0] * 9, [1] * 9, [1] * 9], activity=busy)).round(2).tolist()
[-0.33, -0.33, -0.33, -0.33]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import Integers, LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    if accounts.activity is None:
        return np.full(len(accounts), np.nan)
    busy = np.log1p(accounts.activity.astype(np.float64))
    # What the whole lake does in an hour says nothing about two of its accounts.
    busy = busy - busy.mean(axis=1, keepdims=True)
    busy = busy - busy.mean(axis=0, keepdims=True)
    length = np.sqrt((busy * busy).sum(axis=1))
    busy /= np.maximum(length, 1e-12)[:, None]

    def together(rows: Integers, others: Integers) -> Numbers:
        value = (busy[rows] * busy[others]).sum(axis=1)
        return np.where((length[rows] > 1e-9) & (length[others] > 1e-9), value, np.nan)

    return accounts.over_peers(together)


SIGNAL = LakeSignal(
    name="peer_synchrony",
    units="correlation",
    formula="mean over 20 peers of the correlation of log(1 + records per hour), the lake's mean per hour removed",
    source="Anthropic's report: synchronised timing; own experiments: peers",
    sees="one scheduler behind many accounts",
    misses="working hours of one region are synchronous too",
    says="the activity of its nearest accounts correlates by {value:.2f} with its own",
    compute=compute,
)
