"""How many of the lake's cells thirty of the account's prompts meet.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 40, [0] * 40])).round(2).tolist()[0] < 10
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal
from pipeline.signals.sequence.base import expected_distinct

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


SIZE = 30


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    return np.array([expected_distinct(row[row > 0], SIZE) for row in accounts.cell_counts])


SIGNAL = LakeSignal(
    name="cell_coverage",
    units="cells",
    formula="expected cells among 30 random different prompts",
    source="rarefaction (Hurlbert, Ecology 52, 1971) in the lake's own codebook; B4B (arXiv 2310.08571)",
    sees="breadth",
    misses="broad chat is broad",
    says="thirty of its prompts meet {value:.1f} of the lake's cells",
    compute=compute,
)
