"""The one matrix product of a block: grid vectors against everything they are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

EXACT_FLOAT32 = 2**24
"""Integers up to this magnitude are float32 values, and so is every partial sum that stays below it."""


def grid_product(q: Any, matrix: Any, *, xp: ModuleType) -> tuple[Any, Any]:
    """Grid vectors as float32, and their product with the fused matrix ``[P | W | codebook.T]``.

    For any subset of coordinates ``|sum q_j m_j| <= |q| |m|`` (Cauchy-Schwarz), and `pipeline.parameters`
    refuses a column with ``|q| |m| >= 2**24``: every partial sum is an integer that float32 holds, so the
    result does not depend on order, blocking, threads or fused multiply-add.

    Parameters
    ----------
    q
        int8[n, d], on the grid.
    matrix
        float32[d, m] holding integers.
    xp
        The array module.

    Returns
    -------
    tuple
        float32[n, d] and float32[n, m], both holding integers.
    """
    # One conversion serves both the product and the segmented sum of the vectors themselves.
    x = q.astype(xp.float32)
    return x, x @ matrix


def squared_norms(x: Any, *, xp: ModuleType) -> Any:
    """Squared norms of float32[n, d] grid vectors, float32[n]; exact below 2**24.

    A sum of non-negative terms that passes 2**24 rounds to something that is still at least 2**24, so a
    caller that compares with a bound below 2**24 sees every vector that is too long.
    """
    return xp.einsum("ij,ij->i", x, x)
