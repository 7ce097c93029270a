"""Whether many cells exceed their share a little.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0, 1] * 10] * 6)).shape
(6,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    counts, q = accounts.cell_counts, accounts.other_shares
    n = counts.sum(axis=1)
    p: Numbers = np.ones(counts.shape)
    row, cell = np.nonzero(counts)
    # At least so many of a binomial number, as scipy.stats.binom.sf says it; which takes a second to load.
    count = counts[row, cell]
    p[row, cell] = betainc(count, n[row] - count + 1, q[row, cell])
    p.sort(axis=1)
    k = p.shape[1]
    half = max(1, k // 2)
    rank = np.arange(1, half + 1) / k
    small = np.clip(p[:, :half], 1.0 / k**2, 1 - 1e-9)
    value = np.sqrt(k) * (rank - small) / np.sqrt(small * (1 - small))
    return np.where(n > 0, np.log1p(np.maximum(value.max(axis=1), 0.0)), np.nan)


SIGNAL = LakeSignal(
    name="cell_higher_criticism",
    units="log of standard deviations",
    formula="log(1 + max_i sqrt(k) (i/k - p_(i)) / sqrt(p_(i) (1 - p_(i)))) over the smaller half of binomial p-values, at least 1/k^2",
    source="higher criticism (Donoho & Jin, Annals of Statistics 32, 2004)",
    sees="a corpus spread over many cells",
    misses="any account that is not like the lake's average",
    says="its cells together exceed their shares by {exponential_less_one} standard deviations",
    compute=compute,
)
