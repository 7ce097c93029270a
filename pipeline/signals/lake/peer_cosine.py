"""How near the accounts nearest in content are.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 9, [0] * 9, [1] * 9])).round(1).tolist()
[0.5, 0.5, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    peers, cosine = accounts.peers
    return accounts.over_peers(
        lambda rows, others: np.array(
            [cosine[r][peers[r] == o][0] for r, o in zip(rows, others, strict=True)]
        )
    )


SIGNAL = LakeSignal(
    name="peer_cosine",
    units="cosine",
    formula="mean debiased centroid cosine of the 20 nearest accounts",
    source="own experiments: peers, the 20 nearest accounts by debiased centroid cosine",
    sees="accounts that share one distribution of contents: hydras, and classes such as support bots",
    misses="accounts that point nowhere have no peers",
    says="the mean prompts of its nearest accounts have a cosine of {value:.2f} with its own",
    compute=compute,
)
