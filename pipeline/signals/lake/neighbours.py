"""The nearest accounts of every account, by the cosine of their mean prompts corrected for noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import readings

if TYPE_CHECKING:
    from pipeline.profiles.table import Profiles

Floats = NDArray[np.float32]
Product = Callable[[Floats, Floats], Floats]

UNIT = 4095
"""Length of a rounded direction: products stay below 2**24, so a float32 product is exact."""

MIN_COHERENCE = 0.02
"""Below this mean pairwise cosine an account points nowhere, and dividing by it would make noise look alike."""

BLOCK = 1024
"""Accounts of one product: 1,024 x 100,000 cosines are 400 MB."""


def host_product(one: Floats, two: Floats) -> Floats:
    """``one @ two.T`` by numpy."""
    out: Floats = one @ two.T
    return out


def directions(profiles: Profiles) -> tuple[Floats, NDArray[np.float64]]:
    """Rounded mean directions float32[n, d] of length `UNIT`, and the factor that corrects a cosine for noise.

    The squared length of a mean of n vectors is ``c + (1 - c) / n`` with mean pairwise cosine c; only c is content.
    The factor is ``sqrt((c + (1 - c) / n) / c)``, NaN where c is below `MIN_COHERENCE`.
    """
    sums = profiles.embedding_sum.astype(np.float64)
    length = np.sqrt((sums * sums).sum(axis=1))
    unit = np.rint(sums / np.maximum(length, 1.0)[:, None] * (UNIT - profiles.embedding_sum.shape[1] ** 0.5))
    coherence = readings.mean_pairwise_cosine(profiles)
    usable = (coherence >= MIN_COHERENCE) & (length > 0)
    kept = np.where(usable, coherence, 1.0)
    n = np.maximum(profiles.records, 2)
    factor = np.sqrt((kept + (1 - kept) / n) / kept)
    return unit.astype(np.float32), np.where(usable, factor, np.nan)


def nearest_accounts(
    profiles: Profiles, count: int, product: Product = host_product
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ``count`` most similar other accounts: rows int64[n, count] and corrected cosines float64[n, count].

    Ties go to the earlier row; -1 and NaN fill up where there are fewer. An account that points nowhere has none,
    and is nobody's neighbour. n^2 products in blocks.

    Parameters
    ----------
    profiles
        One per account, sorted.
    count
        How many.
    product
        Where the products run.
    """
    n = len(profiles)
    rows = np.full((n, count), -1, np.int64)
    cosines = np.full((n, count), np.nan)
    unit, factor = directions(profiles)
    usable = np.flatnonzero(~np.isnan(factor))
    if len(usable) < 2:
        return rows, cosines
    matrix, scale = unit[usable], factor[usable].astype(np.float32)
    take = min(count, len(usable) - 1)
    for low in range(0, len(usable), BLOCK):
        high = min(low + BLOCK, len(usable))
        value = product(matrix[low:high], matrix) * scale[low:high, None] * scale[None, :]
        value[np.arange(high - low), np.arange(low, high)] = -np.inf
        least = np.partition(value, len(usable) - take, axis=1)[:, len(usable) - take]
        row, column = np.nonzero(value >= least[:, None])
        found = value[row, column]
        order = np.lexsort((column, -found, row))
        row, column, found = row[order], column[order], found[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < take
        mine = usable[low + row[kept]]
        rows[mine, place[kept]] = usable[column[kept]]
        cosines[mine, place[kept]] = found[kept].astype(np.float64) / float(UNIT - unit.shape[1] ** 0.5) ** 2
    return rows, cosines
