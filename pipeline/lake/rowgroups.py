"""Reading lake files by account without reading them whole.

Every file is sorted by account, so a row group says which accounts it can hold. Python compares strings by
code point, which is the order of their UTF-8 bytes and so the order of the files.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import LakeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

ACCOUNT = "account_id"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Which accounts a row group can hold; None: it does not say."""

    index: int
    rows: int
    low: str | None
    high: str | None


class SortedFile:
    """One lake file sorted by account; rows without an account (rejected, forgotten) are passed over.

    The file is opened per read: thousands may be live, and descriptors are few.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        status = path.stat()
        self._metadata, self.groups = _index(path, status.st_ino, status.st_mtime_ns, status.st_size)

    def read(self, groups: Sequence[int], columns: Sequence[str] | None) -> pa.Table:
        """Rows of some row groups that have an account."""
        with pq.ParquetFile(self.path, metadata=self._metadata) as file:
            table = file.read_row_groups(list(groups), columns=None if columns is None else list(columns))
        accounts = table.column(ACCOUNT)
        return table if accounts.null_count == 0 else table.filter(accounts.is_valid())

    def of_accounts(self, accounts: Sequence[str], columns: Sequence[str] | None) -> pa.Table:
        """Rows of some accounts (sorted, unique)."""
        wanted = [
            group.index
            for group in self.groups
            if group.low is None or group.high is None or _any_between(accounts, group.low, group.high)
        ]
        table = self.read(wanted, columns)
        return table.filter(pc.is_in(table.column(ACCOUNT), value_set=pa.array(accounts, pa.string())))


# A worker looks at a few accounts many times a minute, in files that never change.
@lru_cache(maxsize=4096)
def _index(path: Path, inode: int, modified: int, size: int) -> tuple[Any, tuple[RowGroup, ...]]:  # noqa: ARG001
    """Footer and row groups of a file; all of what identifies it is the cache's key."""
    metadata = pq.read_metadata(path)
    return metadata, tuple(_row_groups(metadata))


def _row_groups(metadata: Any) -> Iterator[RowGroup]:
    column = metadata.schema.names.index(ACCOUNT)
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        statistics = group.column(column).statistics
        if statistics is not None and statistics.has_min_max:
            yield RowGroup(index, group.num_rows, statistics.min, statistics.max)
        elif statistics is None or statistics.null_count < group.num_rows:
            yield RowGroup(index, group.num_rows, None, None)


def _any_between(accounts: Sequence[str], low: str, high: str) -> bool:
    at = bisect_left(accounts, low)
    return at < len(accounts) and accounts[at] <= high


class AccountCursor:
    """Takes the rows of a sorted file in ascending ranges of accounts, each row group read at most once.

    Parameters
    ----------
    columns
        Columns to read; ``account_id`` is among them.
    keep
        Narrows every piece that was read (a range of time, a kind).
    """

    def __init__(
        self,
        file: SortedFile,
        columns: Sequence[str] | None,
        keep: Callable[[pa.Table], pa.Table] | None = None,
    ) -> None:
        self._file = file
        self._columns = columns
        self._keep = keep
        self._groups = list(file.groups)
        self._held: pa.Table | None = None

    def take(self, low: str | None, high: str | None) -> list[pa.Table]:
        """Rows with ``low <= account < high``; None is no bound. What lies before ``low`` is dropped."""
        pieces: list[pa.Table] = []
        while True:
            if self._held is None and not self._advance(low, high):
                return pieces
            held = self._held
            assert held is not None
            accounts = held.column(ACCOUNT)
            first = 0 if low is None else count_below(accounts, low)
            after = held.num_rows if high is None else count_below(accounts, high)
            if after > first:
                pieces.append(held.slice(first, after - first))
            if after < held.num_rows:
                self._held = held.slice(after)
                return pieces
            self._held = None

    def _advance(self, low: str | None, high: str | None) -> bool:
        """Read the next row group that may matter below ``high``; False when there is none."""
        while self._groups:
            group = self._groups[0]
            if high is not None and group.low is not None and group.low >= high:
                return False
            del self._groups[0]
            if low is not None and group.high is not None and group.high < low:
                continue
            table = self._file.read([group.index], self._columns)
            if self._keep is not None:
                table = self._keep(table)
            if table.num_rows:
                self._held = table
                return True
        return False


def count_below(accounts: pa.ChunkedArray, bound: str) -> int:
    """Rows of a sorted column before ``bound``; a binary search, since comparing all is slow."""
    low, high = 0, len(accounts)
    while low < high:
        middle = (low + high) // 2
        if accounts[middle].as_py() < bound:
            low = middle + 1
        else:
            high = middle
    return low


def plan_cuts(files: Iterable[SortedFile], rows: int) -> list[str]:
    """Accounts at which to cut so that a range holds about ``rows`` rows; one account is never cut."""
    begins = sorted((group.low or "", group.rows) for file in files for group in file.groups)
    cuts: list[str] = []
    waiting = 0
    for low, count in begins:
        if waiting and waiting + count > rows and low > (cuts[-1] if cuts else ""):
            cuts.append(low)
            waiting = 0
        waiting += count
    return cuts


def ranges(cuts: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    """Ranges between cuts, open at both ends.

    Examples
    --------
    >>> list(ranges(["b", "k"]))
    [(None, 'b'), ('b', 'k'), ('k', None)]
    """
    edges = [None, *cuts, None]
    return itertools.pairwise(edges)


def ranges_within(
    cuts: Sequence[str], low: str | None, high: str | None
) -> Iterator[tuple[str | None, str | None]]:
    """Ranges between cuts from ``low`` to ``high``; None is an open end.

    Examples
    --------
    >>> list(ranges_within(["b", "k"], "c", None)), list(ranges_within(["b", "k"], None, "k"))
    ([('c', 'k'), ('k', None)], [(None, 'b'), ('b', 'k')])
    """
    inner = [cut for cut in cuts if (low is None or cut > low) and (high is None or cut < high)]
    return itertools.pairwise([low, *inner, high])


def shares(files: Iterable[SortedFile], parts: int) -> list[str]:
    """Accounts at which to cut so that ``parts`` ranges hold about as many rows each; fewer cuts in small files."""
    edges = sorted(
        edge
        for file in files
        for group in file.groups
        for edge in (group.low, group.high)
        if edge is not None
    )
    found = {edges[len(edges) * part // parts] for part in range(1, parts)} if edges else set()
    return sorted(found - set(edges[:1]))


def merge_by_account(
    paths: Sequence[Path],
    columns: Sequence[str] | None,
    *,
    rows: int,
    keep: Callable[[pa.Table], pa.Table] | None = None,
) -> Iterator[pa.Table]:
    """Rows of several files in pieces that ascend by account and share none; unsorted inside a piece.

    Memory holds one piece and one row group per file.

    Raises
    ------
    LakeError
        A file is gone: the snapshot is older than the sweep's grace period.
    """
    try:
        files = [SortedFile(path) for path in paths]
        cursors = [AccountCursor(file, columns, keep) for file in files]
        for low, high in ranges(plan_cuts(files, rows)):
            pieces = [piece for cursor in cursors for piece in cursor.take(low, high)]
            if pieces:
                yield pa.concat_tables(pieces)
    except FileNotFoundError as error:
        raise gone(error) from error


def gone(error: FileNotFoundError) -> LakeError:
    """What a reader says when a file of its snapshot was swept."""
    msg = f"{error.filename or error}: this file was swept while it was being read; take a new snapshot and read again"
    return LakeError(msg)
