"""How far the account's spread over cells is from that of its peers together.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> int(compute(lake([[0, 1] * 20, *[list(range(20)) * 2] * 4])).argmax())
0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    shares = accounts.cell_shares
    peers, _ = accounts.peers
    have = (peers >= 0) & (accounts.sizes[peers] > 0)
    pooled = np.stack([shares[row[ok]].sum(axis=0) for row, ok in zip(peers, have, strict=True)])
    count = have.sum(axis=1)
    q = (pooled + 0.5 * accounts.other_shares) / (count + 0.5)[:, None]
    p, n = shares, accounts.cell_counts.sum(axis=1)
    plain = (p * np.log2(np.where(p > 0, p / q, 1.0))).sum(axis=1)
    bias = ((p > 0).sum(axis=1) - 1) / (2.0 * np.maximum(n, 1) * np.log(2.0))
    return np.where((n > 0) & (count > 0), plain - bias, np.nan)


SIGNAL = LakeSignal(
    name="peer_divergence",
    units="bits",
    formula="sum p log2(p / q) - (occupied - 1) / (2 n ln 2), q the mean of the peers' shares with half an account of the lake's",
    source="Kullback-Leibler, Miller 1955; own experiments on specialists",
    sees="a region of the peers' ground, or ground of its own",
    misses="members of a hydra and of a class of bots are both near their peers",
    says="it is {value:.1f} bits away from its peers' spread",
    compute=compute,
)
