"""The records of some accounts of a lake in blocks that share no account: sequences are read from these."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.lake.ordering import contents_digest
from pipeline.lake.rowgroups import ACCOUNT, AccountCursor, SortedFile, gone, plan_cuts, ranges
from pipeline.lake.selection import WindowRange, below
from pipeline.records.schema import body_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pipeline.lake import Snapshot
    from pipeline.lake.rowgroups import RowGroup

BLOCK_ROWS = 32_768
"""Landed records that a block is made from, about."""

_POSITION = ("topic_id", "partition", "offset")
_ORDER = ("event_time", "request_id")


def record_blocks(
    snapshot: Snapshot,
    accounts: Sequence[str] | None,
    start: datetime | None,
    stop: datetime | None,
    columns: Sequence[str],
    *,
    vector: Mapping[str, int] | None = None,
    newest: int | None = None,
    rows: int = BLOCK_ROWS,
) -> Iterator[pa.Table]:
    """Records of whole accounts, block after block in ascending order of the account's bytes, each file read once.

    Memory holds one block and a row group of every file. With ``newest`` it holds no more of an account than that many
    records per row group, however many it has sent.

    Parameters
    ----------
    accounts
        Account ids in any order; None: all.
    start, stop
        Windows with ``start <= window_start < stop``, as `read_profiles` has them.
    columns
        ``account_id`` among them.
    vector
        Only records below these offsets.
    newest
        Only an account's newest records by (event time, request id), and those that tie with the last of them.
    rows
        Landed rows of a block, about.

    Raises
    ------
    LakeError
        A file of the snapshot was swept meanwhile.
    """
    wanted = None if accounts is None else sorted(set(accounts))
    names = None if wanted is None else pa.array(wanted, pa.string())
    window_range = WindowRange.of(start, stop, snapshot.config.window_microseconds)
    needed = {*columns, ACCOUNT, *_ORDER, *(_POSITION if vector is not None else ())}

    def keep(table: pa.Table) -> pa.Table:
        if names is not None:
            table = table.filter(pc.is_in(table[ACCOUNT], names))
        table = window_range.keep(table)
        if vector is not None:
            table = below(table, vector)
        return table if newest is None else newest_of(table, newest)

    try:
        files = [SortedFile(path) for path in snapshot.record_files()]
        for file in files:
            file.groups = tuple(group for group in file.groups if _holds(group, wanted))
        cursors = [AccountCursor(file, sorted(needed), keep) for file in files]
        for low, high in ranges(plan_cuts(files, rows)):
            pieces = [piece for cursor in cursors for piece in cursor.take(low, high)]
            if pieces:
                yield pa.concat_tables(pieces).select(list(columns))
    except FileNotFoundError as error:
        raise gone(error) from error


def newest_of(table: pa.Table, newest: int) -> pa.Table:
    """At most ``newest`` records of each account and those that tie with the oldest of them; rows stay in order.

    Parameters
    ----------
    table
        Sorted by account; has ``event_time`` and ``request_id``.
    """
    if table.num_rows <= newest:
        return table
    pieces = []
    for low, high in pairwise(_edges(table)):
        part = table.slice(low, high - low)
        if part.num_rows > newest:
            order = pc.sort_indices(part, [(name, "descending") for name in _ORDER]).to_numpy()
            last = [part[name][int(order[newest - 1])] for name in _ORDER]
            later = pc.greater(part["event_time"], last[0])
            tied = pc.and_(
                pc.equal(part["event_time"], last[0]), pc.greater_equal(part["request_id"], last[1])
            )
            part = part.filter(pc.or_(later, tied))
        pieces.append(part)
    return pa.concat_tables(pieces)


def record_digests(
    snapshot: Snapshot,
    accounts: Sequence[str],
    start: datetime | None,
    stop: datetime | None,
    vector: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """BLAKE2b-256 of what each account's landed records say, in hex; where and in what order they landed does not enter.

    Parameters
    ----------
    accounts, start, stop, vector
        As for `record_blocks`; an account without records has no digest.
    """
    body = [field.name for field in body_fields(snapshot.config.space)]
    found = {}
    for unsorted in record_blocks(snapshot, accounts, start, stop, body, vector=vector):
        block = unsorted.sort_by([(name, "ascending") for name in (ACCOUNT, *_ORDER)])
        for low, high in pairwise(_edges(block)):
            part = block.slice(low, high - low)
            found[part[ACCOUNT][0].as_py()] = contents_digest(_tied_by_content(part))
    return found


def joint_digest(digests: Mapping[str, str], members: Sequence[str]) -> str | None:
    """One digest of the records of several accounts; None if one of them has none."""
    if any(member not in digests for member in members):
        return None
    if len(members) == 1:
        return digests[members[0]]
    text = "\n".join(f"{member} {digests[member]}" for member in sorted(members))
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def _tied_by_content(table: pa.Table) -> pa.Table:
    """Rows with one time and request id, in an order of their contents; the rest is sorted already."""
    time = table["event_time"].cast(pa.int64()).to_numpy()
    request = table["request_id"].to_pylist()
    order = np.arange(len(time))
    same = np.array([a == b for a, b in pairwise(request)], bool) & (time[1:] == time[:-1])
    if not same.any():
        return table
    group = np.concatenate([[0], np.cumsum(~same)])
    for number in np.unique(group[1:][same]).tolist():
        rows = np.flatnonzero(group == number)
        texts = [repr(table.slice(int(row), 1).to_pylist()) for row in rows]
        order[rows] = rows[sorted(range(len(rows)), key=texts.__getitem__)]
    return table.take(pa.array(order))


def _edges(table: pa.Table) -> list[int]:
    """Where the accounts of a sorted table begin, and its end."""
    runs = pc.run_end_encode(table[ACCOUNT].combine_chunks())
    ends = [
        chunk.run_ends.to_pylist() for chunk in (runs.chunks if isinstance(runs, pa.ChunkedArray) else [runs])
    ]
    assert len(ends) <= 1, "combine_chunks gives one chunk below 2 GiB of account ids"
    return [0, *(ends[0] if ends else [])]


def _holds(group: RowGroup, wanted: Sequence[str] | None) -> bool:
    """Whether one of the accounts may be in a row group."""
    if wanted is None or group.low is None or group.high is None:
        return True
    at = bisect_left(wanted, group.low)
    return at < len(wanted) and wanted[at] <= group.high
