"""How rare the account's contents are among the other accounts.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> int(compute(lake([[0] * 5] * 4 + [[30] * 5])).argmax())
4
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    value = -(accounts.cell_shares * np.log2(accounts.other_shares)).sum(axis=1)
    return np.where(accounts.sizes > 0, value, np.nan)


SIGNAL = LakeSignal(
    name="cell_rarity",
    units="bits",
    formula="-sum_k p_k log2 q_k: p the account's shares of the lake's cells, q those of all other accounts, each weighing the same",
    source="own experiments: lake signals (a codebook fitted in the lake); cross entropy",
    sees="niches, and corpora that nobody else sends",
    misses="honest niches are as rare",
    says="its contents cost {value:.1f} bits in the lake's code",
    compute=compute,
)
