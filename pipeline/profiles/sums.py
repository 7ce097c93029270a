"""Sums of rows by group, in integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

Integer = TypeVar("Integer", np.int32, np.int64)


def sums_by(group: NDArray[np.int64], values: NDArray[Integer], groups: int) -> NDArray[Integer]:
    """Sum of the rows of each group, [groups, d] of the values' integers: a product with a one-hot matrix, which needs no sort.

    Examples
    --------
    >>> sums_by(np.array([1, 0, 1]), np.array([[1, 2], [3, 4], [5, 6]]), 2)
    array([[3, 4],
           [6, 8]])
    """
    m = len(group)
    one_hot = sparse.csc_matrix((np.ones(m, values.dtype), group, np.arange(m + 1)), shape=(groups, m))
    found: Any = one_hot @ values
    return cast("NDArray[Integer]", found)
