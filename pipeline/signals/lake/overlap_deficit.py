"""Prompts missing that accounts so alike usually share.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> same = [[1, 2, 3, 4]] * 5 + [[10, 11, 12, 13]]
>>> int(compute(lake([[0] * 4] * 6, prompts=same)).argmax())
5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.profiles.schema import SKETCH
from pipeline.signals.lake.base import LakeSignal, overlaps

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


GROUPS = 16


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    peers, cosine = accounts.peers
    rows, place = np.nonzero(peers >= 0)
    if len(rows) == 0:
        return np.full(len(accounts), np.nan)
    shared = overlaps(accounts.profiles.distinct["prompt_distinct"], rows, peers[rows, place])
    known = ~np.isnan(shared)
    rows, shared, near = rows[known], shared[known], cosine[rows, place][known]
    # Pairs sorted by cosine in as many groups of equal size; ties stay together, so that order cannot matter.
    level = np.searchsorted(np.sort(near), near, side="right") * GROUPS // max(1, len(near))
    usual = np.bincount(level, weights=shared) / np.maximum(np.bincount(level), 1)
    n = len(accounts)
    count = np.bincount(rows, minlength=n)
    expected = np.bincount(rows, weights=usual[level], minlength=n)
    spread = np.bincount(rows, weights=usual[level] * (1 - usual[level]), minlength=n)
    missing = expected - np.bincount(rows, weights=shared, minlength=n)
    return np.where(count > 0, missing / np.sqrt(spread / SKETCH + 1e-3 * np.maximum(count, 1)), np.nan)


SIGNAL = LakeSignal(
    name="overlap_deficit",
    units="standard deviations, roughly",
    formula="sum over peers (e - overlap) / sqrt(sum e (1 - e) / 64 + .001 peers), e = mean overlap of the lake's pairs at that cosine (16 groups)",
    source="own experiments: the same distribution with an overlap deficit is the cheap sign of a hydra",
    sees="campaigns that share a corpus out without sending a prompt twice",
    misses="where nobody shares prompts there is nothing to miss; benign overlap in the measurements was partly an artefact of finite pools",
    says="its nearest accounts share {size:.1f} standard deviations {less} with it than usual",
    compute=compute,
)
