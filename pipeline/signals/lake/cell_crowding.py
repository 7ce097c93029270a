"""Whether, on one subject, the account's prompts are closer to each other than to other accounts' prompts.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> found = compute(lake([[0] * 12, [0, 0, 0, 0, 7, 7, 7, 8, 8, 9, 9, 9]]))
>>> found.shape
(2,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.profiles.sums import sums_by
from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.signals.lake.base import LakeAccounts, Numbers


FEWEST = 20


def _dots(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
    """Row by row, without a product of the whole matrices in between."""
    found: NDArray[Any] = np.einsum("ij,ij->i", one, two)
    return found


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    kept = accounts.first_prompts
    vectors = accounts.sample.vectors[kept].astype(np.int32)
    owner, cell = accounts.sample.owner[kept], accounts.cells[kept]
    width = int(cell.max(initial=0)) + 1
    group, member, size = np.unique(owner * width + cell, return_inverse=True, return_counts=True)
    if len(group) == 0:
        return np.full(len(accounts), np.nan)
    # int32 holds a squared length and the sum of a sample; what is multiplied after that is int64.
    sums = sums_by(member, vectors, len(group)).astype(np.int64)
    squares = np.bincount(member, weights=_dots(vectors, vectors), minlength=len(group))
    account, where = group // width, group % width
    crowd = np.bincount(where, weights=size, minlength=width)[where] - size
    alone = _dots(sums, sums)
    own, across = alone - squares, _dots(sums, sums_by(where, sums, width)[where]) - alone
    # Both means over the same cells with the same weights, so that only who sent the prompts differs.
    usable = (size >= 2) & (crowd > 0)
    pairs = np.where(usable, size * (size - 1.0), 0.0)
    length = squares / size
    gap = np.where(usable, own / np.maximum(size * (size - 1), 1) - across / np.maximum(size * crowd, 1), 0.0)
    n = len(accounts)
    weight = np.bincount(account, weights=pairs, minlength=n)
    total = np.bincount(account, weights=pairs * gap / np.maximum(length, 1), minlength=n)
    return np.where(weight >= FEWEST, total / np.maximum(weight, 1.0), np.nan)


SIGNAL = LakeSignal(
    name="cell_crowding",
    units="cosine",
    formula="mean over pairs of own prompts in one cell of (their cosine - mean cosine with other accounts' prompts in the cell)",
    source="own experiments: lake signals (a codebook fitted in the lake); two-sample statistic within strata",
    sees="users, drafts and wrappers that make an account's prompts resemble each other beyond the subject; draws from a corpus do not",
    misses="wrappers around harvested slots crowd as well",
    says="on one subject its prompts are {size:.3f} {closer} than its and others' prompts",
    compute=compute,
)
