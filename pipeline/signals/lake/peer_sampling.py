"""Whether the accounts nearest in content also have the same sampling parameters.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> kinds = [{0: 9}] * 3 + [{1: 9}] * 3
>>> compute(lake([[0] * 9] * 3 + [[1] * 9] * 3, askable={"sampling_hashed_count": kinds})).round(2).tolist()
[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.lake.base import LakeSignal, alike

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    return alike(accounts, "sampling_hashed_count")


SIGNAL = LakeSignal(
    name="peer_sampling",
    units="Bhattacharyya coefficient",
    formula="mean over 20 peers of sum sqrt(p q) of `sampling_hashed_count`, minus the mean over all other accounts",
    source="own experiments: peers, the 20 nearest accounts by debiased centroid cosine",
    sees="one operator behind many accounts",
    misses="defaults that everybody uses; operators that draw parameters per account",
    says="the sampling parameters of its nearest accounts are {size:.2f} {more} like its own than anybody's in the lake",
    compute=compute,
)
