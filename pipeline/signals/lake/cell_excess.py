"""The largest excess of the account in one of the lake's cells.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> bool(compute(lake([[0, 1] * 5] * 4 + [[30] * 10])).argmax() == 4)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    counts, q = accounts.cell_counts, accounts.other_shares
    n = counts.sum(axis=1, keepdims=True)
    z = (counts - n * q) / np.sqrt(np.maximum(np.maximum(n, 1) * q * (1 - q), 1e-12))
    return np.where(n[:, 0] > 0, np.log1p(np.maximum(z.max(axis=1), 0.0)), np.nan)


SIGNAL = LakeSignal(
    name="cell_excess",
    units="log of standard deviations",
    formula="log(1 + max_k (c_k - n q_k) / sqrt(n q_k (1 - q_k)))",
    source="own experiments: subset scan; Neill 2012",
    sees="one subject far beyond its share",
    misses="every narrow account has one",
    says="its largest excess in one cell of the lake is {exponential_less_one} standard deviations",
    compute=compute,
)
