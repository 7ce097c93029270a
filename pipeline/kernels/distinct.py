"""The smallest distinct hashes of each group: a bottom-k sketch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

SKETCH = 64
"""Hashes kept of a group."""

PADDING = 2**64 - 1
"""Fills a row that has fewer; no hash has this value (it is mapped to the one below)."""


def clean_hashes(hashes: Any, *, xp: ModuleType) -> Any:
    """Map the padding value to the one below it, so that the hash space is [0, 2**64 - 2]."""
    return xp.minimum(hashes, xp.uint64(PADDING - 1))


def bottom_k(group: Any, hashes: Any, groups: int, *, xp: ModuleType, size: int = SKETCH) -> Any:
    """At most ``size`` smallest distinct hashes of each group, ascending, padded.

    Merging two sketches is the same function over their hashes: what is among the smallest of a union is
    among the smallest of its part.

    Parameters
    ----------
    group
        int64[n] in [0, groups), any order.
    hashes
        uint64[n]; the padding value is left out.
    groups
        Number of groups.
    xp
        The array module.
    size
        Hashes kept of a group.

    Returns
    -------
    array
        uint64[groups, size].
    """
    out = xp.full((groups, size), PADDING, dtype=xp.uint64)
    real = hashes != xp.uint64(PADDING)
    if not bool(real.all()):
        group, hashes = group[real], hashes[real]
    if hashes.shape[0] == 0:
        return out
    # Two stable passes; groups of 16 bits are sorted by radix, forty times faster than a sort by two columns.
    order = xp.argsort(hashes)
    narrow = group[order].astype(xp.uint16 if groups <= 1 << 16 else xp.int64)
    order = order[xp.argsort(narrow, kind="stable")]
    group, hashes = group[order], hashes[order]
    fresh = xp.ones(hashes.shape[0], dtype=bool)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (group[1:] != group[:-1])
    group, hashes = group[fresh], hashes[fresh]
    first = xp.searchsorted(group, xp.arange(groups))
    rank = xp.arange(hashes.shape[0]) - first[group]
    kept = rank < size
    out[group[kept], rank[kept]] = hashes[kept]
    return out
