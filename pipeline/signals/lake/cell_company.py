"""How many other accounts ask about the same things.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> int(compute(lake([[0] * 5] * 3 + [list(range(1, 21))])).round(2).argmin())
3
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    counts = accounts.cell_counts
    others = (counts > 0).sum(axis=0)[None, :] - (counts > 0)
    n = counts.sum(axis=1)
    total = (counts * np.log2(1.0 + others)).sum(axis=1)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


SIGNAL = LakeSignal(
    name="cell_company",
    units="log2 of accounts",
    formula="mean over sampled prompts of log2(1 + other accounts in the prompt's cell)",
    source="own experiments: lake signals (a codebook fitted in the lake)",
    sees="content that many ask for, or nobody",
    misses="popular content is harvested and used alike",
    says="{doubled_less_one} other accounts on average ask about the same things as it",
    compute=compute,
)
