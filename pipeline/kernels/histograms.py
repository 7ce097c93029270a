"""Buckets and counts: logarithmic buckets, hash buckets, and the counting of (group, cell) pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

LOG2_BUCKETS = 32
HASH_BUCKETS = 64


def log2_buckets(values: Any, *, xp: ModuleType) -> Any:
    """Bucket 0 for values up to 0, else ``min(31, floor(log2(v)) + 1)``: the bit length, capped.

    Parameters
    ----------
    values
        int64[n].
    xp
        The array module.

    Returns
    -------
    array
        int64[n] in [0, 32).
    """
    # Capped at 2**31 first: a float64 holds those exactly, so frexp's exponent is the bit length.
    capped = xp.clip(values, 0, 1 << (LOG2_BUCKETS - 1))
    exponent = xp.frexp(capped.astype(xp.float64))[1]
    return xp.minimum(exponent, LOG2_BUCKETS - 1).astype(xp.int64)


def hash_buckets(hashes: Any, *, xp: ModuleType) -> Any:
    """The low six bits of 64-bit hashes: uint64[n] to int64[n] in [0, 64)."""
    return (hashes & xp.uint64(HASH_BUCKETS - 1)).astype(xp.int64)


def count_cells(group: Any, cells: Any, groups: int, width: int, *, xp: ModuleType) -> Any:
    """How often each cell occurs in each group.

    All histograms of a profile lie side by side in one row of ``width`` cells, so one call counts them all.

    Parameters
    ----------
    group
        int64[n] in [0, groups).
    cells
        List of int64[n], each a cell in [0, width) or negative for "not counted".
    groups, width
        Shape of the result.
    xp
        The array module.

    Returns
    -------
    array
        int64[groups, width].
    """
    base = group * width
    keys = [(base + cell)[cell >= 0] for cell in cells]
    flat = xp.concatenate(keys) if keys else base[:0]
    counts = xp.bincount(flat, minlength=groups * width)
    return counts.astype(xp.int64, copy=False).reshape(groups, width)
