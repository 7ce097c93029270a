"""How differently the account is spread over the lake's cells.

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
    p, q, n = accounts.cell_shares, accounts.other_shares, accounts.cell_counts.sum(axis=1)
    plain = (p * np.log2(np.where(p > 0, p / q, 1.0))).sum(axis=1)
    occupied = (p > 0).sum(axis=1)
    # Miller-Madow: few records look concentrated by chance.
    bias = (occupied - 1) / (2.0 * np.maximum(n, 1) * np.log(2.0))
    return np.where(n > 0, plain - bias, np.nan)


SIGNAL = LakeSignal(
    name="cell_divergence",
    units="bits",
    formula="sum p log2(p / q) - (occupied cells - 1) / (2 n ln 2)",
    source="own experiments: lake signals (a codebook fitted in the lake); Kullback-Leibler, Miller 1955",
    sees="concentration against the lake",
    misses="batch jobs, niches and specialists are concentrated",
    says="it is {value:.1f} bits away from the lake's spread",
    compute=compute,
)
