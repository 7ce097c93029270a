"""Sums over runs of rows. Rows are sorted by group, so a group is a slice and needs no index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.kernels.product import EXACT_FLOAT32

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def rows_per_call(bound: int) -> int:
    """How many rows a float32 one-hot sum may add up and still be exact.

    n values of magnitude at most ``bound`` have partial sums of magnitude at most ``n * bound``; all of them
    are float32 integers when that is at most 2**24. For grid values (127) that is 132,104 rows > 2**17,
    for cosines (2,047) 8,196. The limit counts all rows of a call, so it holds for every segment in it.

    >>> rows_per_call(127) >= 2**17
    True
    """
    return max(1, EXACT_FLOAT32 // max(1, bound))


def segment_sum(
    values: Any, starts: Any, bound: int, out: Any, *, xp: ModuleType, one_hot: Callable[[Any, Any], Any]
) -> None:
    """Write the sum of each segment's rows to ``out``.

    Parameters
    ----------
    values
        float32[n, m] holding integers of magnitude at most ``bound``, sorted by segment.
    starts
        int64[g], strictly ascending from 0: where each segment begins. The last ends at n.
    bound
        Largest magnitude of a value.
    out
        int64[g, m], overwritten.
    xp
        The array module.
    one_hot
        ``(values, starts) -> float32[g, m]``: one product with a sparse one-hot matrix. On one Zen4 core it
        reaches 40-96 % of memory bandwidth where ``add.at`` and ``add.reduceat`` reach 2-10 %.
    """
    n = values.shape[0]
    limit = rows_per_call(bound)
    if n <= limit:
        out[...] = one_hot(values, starts)
        return
    out[...] = 0
    for low in range(0, n, limit):
        high = min(n, low + limit)
        first = int(xp.searchsorted(starts, low, side="right")) - 1
        last = int(xp.searchsorted(starts, high, side="left"))
        local = xp.maximum(starts[first:last] - low, 0)
        out[first:last] += one_hot(values[low:high], local).astype(xp.int64)
