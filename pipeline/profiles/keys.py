"""Keys of profiles: accounts in the order of their UTF-8 bytes, then windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows sorted by key and cut into groups of equal keys.

    ``order`` int64[n] sorts the rows, ``starts`` int64[g] says where each group begins in that order,
    ``account_id`` object[g] and ``window_start`` int64[g] are the groups' keys.
    """

    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    account_id: npt.NDArray[np.object_]
    window_start: npt.NDArray[np.int64]

    @property
    def group(self) -> npt.NDArray[np.int64]:
        """Which group each *unsorted* row belongs to, int64[n]."""
        out = np.empty(len(self.order), dtype=np.int64)
        sizes = np.diff(self.starts, append=len(self.order))
        out[self.order] = np.repeat(np.arange(len(self.starts)), sizes)
        return out


def account_ranks(
    accounts: pa.Array | pa.ChunkedArray,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """Accounts as numbers that sort like their UTF-8 bytes, and the distinct accounts in that order.

    Parameters
    ----------
    accounts
        Strings (plain or dictionary), no nulls.

    Returns
    -------
    tuple
        int64[n] in [0, m), and object[m] of str.
    """
    if isinstance(accounts, pa.ChunkedArray):
        accounts = accounts.combine_chunks()
    if not pa.types.is_dictionary(accounts.type):
        accounts = accounts.dictionary_encode()
    names = accounts.dictionary
    codes = accounts.indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    # Arrow compares strings by their bytes: exactly the order wanted.
    order = pc.array_sort_indices(names).to_numpy().astype(np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    sorted_names = np.empty(len(order), dtype=object)
    sorted_names[:] = names.take(pa.array(order)).to_pylist()
    return rank[codes], sorted_names


def group_rows(accounts: pa.Array | pa.ChunkedArray, windows: npt.NDArray[np.int64]) -> Grouping:
    """Group rows by (account, window).

    Parameters
    ----------
    accounts
        Strings [n], no nulls.
    windows
        int64[n], microseconds since 1970.
    """
    ranks, names = account_ranks(accounts)
    n = len(ranks)
    if n == 0:
        return Grouping(ranks, ranks, names[:0], windows)
    low, high = int(windows.min()), int(windows.max())
    # One combined number sorts several times faster than two columns; it needs room for every pair.
    if (high - low + 1) * len(names) < 2**62:
        span = high - low + 1
        combined = ranks * span + (windows - low)
        order = (
            np.arange(n)
            if bool((combined[1:] >= combined[:-1]).all())
            else np.argsort(combined, kind="stable")
        )
        ordered = combined[order]
        fresh = ordered[1:] != ordered[:-1]
    else:
        order = np.lexsort((windows, ranks))
        fresh = (ranks[order][1:] != ranks[order][:-1]) | (windows[order][1:] != windows[order][:-1])
    starts = np.concatenate([[0], np.flatnonzero(fresh) + 1])
    first = order[starts]
    return Grouping(order, starts, names[ranks[first]], windows[first])


def string_array(accounts: npt.NDArray[np.object_]) -> pa.Array:
    """Account ids as an Arrow string array."""
    return pa.array(accounts, type=pa.string(), from_pandas=False)
