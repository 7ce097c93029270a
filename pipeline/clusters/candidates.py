"""Pairs of accounts worth comparing: near in content, or behind one rare network or payment id.

Likeness in content is the sum of three corrected cosines: of mean prompts, of mean random features and of topic shares
(`PairReader.likeness`). All pairs of n accounts are n^2 / 2 products; for many accounts a screen in few dimensions (the
lake's own principal directions, rounded) finds per account the most similar ones with room to spare, and those are
compared exactly. All products are of small integers in float32, so they do not depend on the machine; the screen's
directions come from an eigensolver and are rounded, so that only a pair at the very edge of the screen could.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.clusters.threads import in_threads
from pipeline.signals.lake.neighbours import host_product

if TYPE_CHECKING:
    from scipy import sparse

    from pipeline.clusters.pairs import PairReader
    from pipeline.signals.lake.neighbours import Product

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

NEAREST = 30
"""Accounts kept per account by content."""

TIED = 20
"""Accounts kept per account that share rare networks or payment."""

SCREEN_FROM = 6000
"""Fewer accounts are compared exactly at once."""

SCREEN_DIMENSIONS = 128
SPARE = 2
"""The screen keeps so many times the accounts wanted, about."""

_ROWS, _COLUMNS = 512, 4096
_SAMPLED = 4096
_BLOCK = 8192
_AXIS = 4000


def candidate_pairs(reader: PairReader, product: Product = host_product) -> tuple[Integers, Integers]:
    """Rows of the pairs to compare, first below second, ascending; int64[m] each."""
    n = len(reader.ties)
    rows = nearest(reader.likeness, NEAREST, product)
    one, place = np.nonzero(rows >= 0)
    found = [_keys(one.astype(np.int64), rows[one, place], n)]
    found += [_tied(matrix, n) for matrix in (reader.rare_payments, reader.rare_networks)]
    keys = np.unique(np.concatenate(found))
    return keys // max(n, 1), keys % max(n, 1)


def nearest(vectors: Floats, count: int, product: Product = host_product) -> Integers:
    """The ``count`` accounts with the largest positive product, int64[n, count].

    Ties go to the earlier row; -1 fills up. Accounts whose vector is zero have none and are nobody's.

    Parameters
    ----------
    vectors
        float32[n, d] of integers, no longer than 4095.
    count
        How many.
    product
        Where the products run.
    """
    n = len(vectors)
    rows = np.full((n, count), -1, np.int64)
    usable = np.flatnonzero(vectors.any(axis=1))
    if len(usable) < 2:
        return rows
    kept = vectors[usable]
    if len(usable) <= SCREEN_FROM:
        one, two, value = _above(kept, _thresholds(kept, kept, count, product), product)
    else:
        one, two = screened(kept, count, product)
        value = products(kept, one, two)
    row, column = _ordered(one, two, value, len(kept))
    place = np.arange(len(row)) - np.searchsorted(row, row)
    first = place < count
    rows[usable[row[first]], place[first]] = usable[column[first]]
    return rows


def products(vectors: Floats, one: Integers, two: Integers) -> Floats:
    """Products of pairs of rows of integers, exact whatever the order of summation; float32[m]."""

    def block(low: int) -> Floats:
        part = slice(low, low + _BLOCK)
        found: Floats = np.einsum("ij,ij->i", vectors[one[part]], vectors[two[part]])
        return found

    return np.concatenate([np.empty(0, np.float32), *in_threads(block, range(0, len(one), _BLOCK))])


def _ordered(one: Integers, two: Integers, value: Floats, n: int) -> tuple[Integers, Integers]:
    """Both ends of every pair with a positive product, by (account, product falling, other account)."""
    positive = value > 0
    one, two, value = one[positive], two[positive], value[positive]
    bits = max(1, (n - 1).bit_length())
    if 2 * bits + 24 > 63:
        row, column = np.concatenate([one, two]), np.concatenate([two, one])
        order = np.lexsort((column, -np.concatenate([value, value]), row))
        return row[order], column[order]
    # One number per pair sorts several times faster than three columns; products are integers below 2**24.
    below = (2**24 - value.astype(np.int64)) << bits
    keys = np.concatenate([(one << (bits + 24)) | below | two, (two << (bits + 24)) | below | one])
    keys.sort()
    return keys >> (bits + 24), keys & ((1 << bits) - 1)


def screened(vectors: Floats, count: int, product: Product = host_product) -> tuple[Integers, Integers]:
    """Pairs (first below second) that are among either's most similar by few coordinates, int64[m] each."""
    n = len(vectors)
    low = projected(vectors)
    # An account's threshold: what SPARE * count of n accounts would exceed, judged by evenly spaced ones.
    sample = low[np.arange(min(n, _SAMPLED)) * n // min(n, _SAMPLED)]
    wanted = max(2, round(SPARE * count * len(sample) / n) + 1)
    one, two, _ = _above(low, _thresholds(low, sample, wanted, product), product)
    return one, two


def projected(vectors: Floats) -> Floats:
    """The lake's `SCREEN_DIMENSIONS` principal directions, rounded to integers; float32[n, k]."""
    size = min(len(vectors), 20_000)
    sample = vectors[np.arange(size) * len(vectors) // size].astype(np.float64)
    # Sums of products of integers: exact in float64.
    _, axes = np.linalg.eigh(sample.T @ sample)
    # Integers again, so that the products below are exact whatever the number of threads.
    axes = np.rint(axes[:, -SCREEN_DIMENSIONS:] * _AXIS).astype(np.float32)
    out = np.empty((len(vectors), axes.shape[1]), np.float32)
    for start in range(0, len(vectors), 65_536):
        out[start : start + 65_536] = np.rint(vectors[start : start + 65_536] @ axes / np.float32(_AXIS))
    return out


def _thresholds(vectors: Floats, sample: Floats, wanted: int, product: Product) -> Floats:
    """The ``wanted``-th largest product of each with the sample, itself among them; 1 at least, float32[n]."""
    place = max(0, len(sample) - wanted - 1)

    def block(start: int) -> Floats:
        value: Floats = product(vectors[start : start + _ROWS], sample)
        value.partition(place, axis=1)
        return np.array(value[:, place], np.float32)

    out = np.concatenate(in_threads(block, range(0, len(vectors), _ROWS)))
    floored: Floats = np.maximum(out, np.float32(1.0))
    return floored


def _above(vectors: Floats, least: Floats, product: Product) -> tuple[Integers, Integers, Floats]:
    """Pairs whose product reaches the threshold of either: rows, first below second, and the products.

    Only the upper triangle of blocks is computed.
    """
    n = len(vectors)

    def rows(low: int) -> list[tuple[Integers, Integers, Floats]]:
        found = []
        high = min(low + _ROWS, n)
        for left in range(low, n, _COLUMNS):
            right = min(left + _COLUMNS, n)
            value = product(vectors[low:high], vectors[left:right])
            hit = value >= least[low:high, None]
            hit |= value >= least[None, left:right]
            place = np.flatnonzero(hit)
            row, column = place // (right - left) + low, place % (right - left) + left
            upper = row < column
            found.append((row[upper], column[upper], value.reshape(-1)[place[upper]]))
        return found

    parts = [part for found in in_threads(rows, range(0, n, _ROWS)) for part in found]
    one, two, value = (np.concatenate(each) for each in zip(*parts, strict=True))
    return one, two, value


def _keys(one: Integers, two: Integers, n: int) -> Integers:
    return np.minimum(one, two) * n + np.maximum(one, two)


def _tied(matrix: sparse.csr_array, n: int) -> Integers:
    """Pairs that share values, per account the `TIED` with the most in common, the earlier row first."""
    if matrix.nnz == 0:
        return np.empty(0, np.int64)
    keys = [np.empty(0, np.int64)]
    for low in range(0, n, 8192):
        common = (matrix[low : low + 8192] @ matrix.T).tocoo()
        row, column = common.coords[0].astype(np.int64) + low, common.coords[1].astype(np.int64)
        other = row != column
        row, column, data = row[other], column[other], common.data[other]
        order = np.lexsort((column, -data, row))
        row, column = row[order], column[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < TIED
        keys.append(_keys(row[kept], column[kept], n))
    return np.concatenate(keys)
