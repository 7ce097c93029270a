"""Second moments of projected vectors, packed: the lower triangle of ``sum y y'`` row by row, int64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.kernels.product import EXACT_FLOAT32

if TYPE_CHECKING:
    from types import ModuleType

_PADDED = 64
"""Groups up to this size are multiplied in padded batches; larger ones one by one."""

_BATCH_CELLS = 1 << 20
"""Numbers in one batch of k x k results: 8 MB, so that a batch stays near the cache."""


def shifted(projection: Any, shift: int, *, xp: ModuleType) -> Any:
    """``projection >> shift``, rounding towards minus infinity, as integers.

    Parameters
    ----------
    projection
        float32[n, k] holding integers.
    shift
        Bits to drop; an arithmetic shift, so -1 >> 1 is -1 and not 0.
    xp
        The array module.

    Returns
    -------
    array
        int32[n, k].
    """
    # A cast of a float rounds towards zero, so the shift has to come after it.
    return projection.astype(xp.int32) >> shift


def packed_moment(y: Any, starts: Any, out: Any, *, xp: ModuleType) -> None:
    """Write the packed second moment of each segment to ``out``.

    Three paths give the same integers. A group of one record is an outer product; groups of up to 64 records
    are padded with zero rows to the next power of two and multiplied in one batch per size; a larger group is
    one product. Products run in float32 where ``rows * max|y|**2 <= 2**24`` and else in float64, which is
    exact to 2**53 (2**29 records of one call at the |y| < 2**12 that `pipeline.parameters` sees to).

    Parameters
    ----------
    y
        int32[n, k], sorted by segment, |y| < 2**15.
    starts
        int64[g], strictly ascending from 0.
    out
        int64[g, k (k + 1) / 2], overwritten.
    xp
        The array module.
    """
    n, k = y.shape
    if n == 0:
        return
    sizes = xp.diff(starts, append=n)
    single = sizes == 1
    if bool(single.all()):
        _outer(y, slice(None), out, xp=xp)
        return
    # A zero row at the end is what padding points to.
    padded = xp.zeros((n + 1, k), dtype=xp.float64)
    padded[:n] = y
    narrow = padded.astype(xp.float32)
    peak = int(xp.abs(y).max())
    tril = _triangle(k, xp=xp)
    if bool(single.any()):
        groups = xp.flatnonzero(single)
        _outer(y[starts[groups]], groups, out, xp=xp)
    width = 2
    while width <= _PADDED:
        groups = xp.flatnonzero((sizes <= width) & (sizes > width // 2))
        source = narrow if width * peak * peak <= EXACT_FLOAT32 else padded
        step = max(1, _BATCH_CELLS // (k * k))
        for low in range(0, groups.shape[0], step):
            chosen = groups[low : low + step]
            products = _padded_products(source, starts[chosen], sizes[chosen], width, xp=xp)
            # Indexing with [:, tril] takes three times as long.
            out[chosen] = xp.take(products, tril, axis=1)
        width *= 2
    for group in xp.flatnonzero(sizes > _PADDED).tolist():
        low = int(starts[group])
        rows = padded[low : low + int(sizes[group])]
        out[group] = xp.take((rows.T @ rows).reshape(-1), tril)


def _padded_products(source: Any, starts: Any, sizes: Any, width: int, *, xp: ModuleType) -> Any:
    """``sum y y'`` of groups of at most ``width`` rows, [g, k * k]; the last row of ``source`` is zero."""
    k = source.shape[1]
    offsets = xp.arange(width)
    index = xp.where(offsets < sizes[:, None], starts[:, None] + offsets, source.shape[0] - 1)
    rows = source[index]
    return xp.matmul(rows.transpose(0, 2, 1), rows).reshape(starts.shape[0], k * k)


def _outer(y: Any, groups: Any, out: Any, *, xp: ModuleType) -> None:
    """Outer products of single records, one row of the triangle at a time: k calls, no index arrays."""
    k = y.shape[1]
    # In int32, which has vector instructions where int64 has none; |y| < 2**15, so a product fits.
    products = xp.empty((y.shape[0], k * (k + 1) // 2), dtype=xp.int32)
    offset = 0
    for row in range(k):
        xp.multiply(y[:, row : row + 1], y[:, : row + 1], out=products[:, offset : offset + row + 1])
        offset += row + 1
    out[groups] = products


def _triangle(k: int, *, xp: ModuleType) -> Any:
    """Flat positions of the lower triangle of a k x k matrix, row by row."""
    return xp.asarray([row * k + column for row in range(k) for column in range(row + 1)])
