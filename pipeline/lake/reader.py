"""The one reader of profiles and records: its answer does not depend on what was landed how.

It adds the landed rows of every roll-up and run, and computes the rest from records: segments that are not
rolled up yet, and rows with fewer than 8 records, whose heavy part is not landed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.engine import ENGINE_COLUMNS, HEAVY_COLUMNS
from pipeline.errors import LakeError, SpaceMismatch
from pipeline.lake.profile_files import MIN_RECORDS
from pipeline.lake.rowgroups import (
    ACCOUNT,
    AccountCursor,
    SortedFile,
    count_below,
    gone,
    plan_cuts,
    ranges,
    ranges_within,
    shares,
)
from pipeline.lake.selection import WindowKeys, WindowRange, below
from pipeline.profiles import Profiles
from pipeline.profiles.accounts import AccountWindows
from pipeline.profiles.schema import PROFILES_SCHEMA, WINDOWS_SCHEMA
from pipeline.records.schema import segment_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake.snapshot import Snapshot, Source

BLOCK_WINDOWS = 4096
"""Profiles of one block of `iter_profiles`, about: some 20 kB each."""

BLOCK_ACCOUNT_WINDOWS = 8192
"""The same for `iter_accounts`, which holds a profile of an account and not of each window."""

_RECORDS_PER_WINDOW = 16
_WINDOWS_COLUMNS = WINDOWS_SCHEMA.names
_PROFILES_COLUMNS = PROFILES_SCHEMA.names
_ENGINE_COLUMNS = list(ENGINE_COLUMNS)
_HEAVY_COLUMNS = [*HEAVY_COLUMNS, "event_time"]


def read_profiles(
    snapshot: Snapshot,
    engine: Engine,
    accounts: Sequence[str] | None = None,
    start: datetime | None = None,
    stop: datetime | None = None,
    *,
    vector: Mapping[str, int] | None = None,
) -> Profiles:
    """Profiles of some accounts (None: of all, see `iter_profiles` for bounded memory).

    Parameters
    ----------
    snapshot
        What to read.
    engine
        Computes what is not landed; has the lake's parameters.
    accounts
        Account ids in any order.
    start, stop
        Windows with ``start <= window_start < stop``; naive times are UTC.
    vector
        Only records below these offsets (chain key to offset). Landed windows cannot be cut, so everything is
        then computed from records.

    Raises
    ------
    SpaceMismatch
        The engine has other parameters than the lake.
    LakeError
        A file of the snapshot was swept meanwhile.
    """
    _check_engine(snapshot, engine)
    if vector is not None:
        records = read_records(
            snapshot, accounts, start, stop, vector=vector, columns=_ENGINE_COLUMNS, window_aligned=True
        )
        return engine.profiles(records)
    if accounts is None:
        return Profiles.merge(
            Profiles.empty(engine.parameters), *iter_profiles(snapshot, engine, start=start, stop=stop)
        )
    wanted = sorted(set(accounts))
    window_range = WindowRange.of(start, stop, snapshot.config.window_microseconds)
    try:
        landed = _Landed(engine, window_range.window)
        for source in snapshot.sources():
            windows = _of_accounts(source.windows, wanted, _WINDOWS_COLUMNS, window_range)
            if not windows.num_rows:
                continue
            heavy = (
                _of_accounts(source.profiles, wanted, _PROFILES_COLUMNS, window_range)
                if source.profiles
                else None
            )
            thin = landed.add(windows, heavy)
            if thin is not None:
                names = sorted(thin.accounts.to_pylist())
                for path in source.records:
                    landed.add_thin(thin.keep(_of_accounts(path, names, _ENGINE_COLUMNS, window_range)))
        for path in snapshot.loose_files():
            landed.add_records(_of_accounts(path, wanted, _ENGINE_COLUMNS, window_range))
        return landed.profiles()
    except FileNotFoundError as error:
        raise gone(error) from error


def iter_profiles(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None = None,
    stop: datetime | None = None,
    *,
    block_windows: int = BLOCK_WINDOWS,
    between: tuple[str | None, str | None] = (None, None),
) -> Iterator[Profiles]:
    """Profiles of all accounts, in key-ordered blocks that share no account.

    Memory holds one block and about one row group of every live file; an account is never split, so one with very
    many windows makes a large block.

    Parameters
    ----------
    start, stop
        As for `read_profiles`.
    block_windows
        Windows of a block, about.
    between
        Only accounts with ``between[0] <= account < between[1]``; None is no bound.

    Raises
    ------
    SpaceMismatch
        The engine has other parameters than the lake.
    LakeError
        A file of the snapshot was swept meanwhile.
    """
    for landed in _blocks(snapshot, engine, start, stop, block_windows, between, _ENGINE_COLUMNS):
        profiles = landed.profiles()
        if len(profiles):
            yield profiles


def iter_accounts(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None = None,
    stop: datetime | None = None,
    *,
    block_windows: int = BLOCK_ACCOUNT_WINDOWS,
    between: tuple[str | None, str | None] = (None, None),
) -> Iterator[AccountWindows]:
    """All accounts with the sums of their windows, in order of their ids and in blocks.

    Parameters
    ----------
    start, stop, block_windows, between
        As for `iter_profiles`.

    Raises
    ------
    SpaceMismatch
        The engine has other parameters than the lake.
    LakeError
        A file of the snapshot was swept meanwhile, or files do not belong together.
    """
    for landed in _blocks(snapshot, engine, start, stop, block_windows, between, _HEAVY_COLUMNS):
        accounts = landed.accounts()
        if len(accounts):
            yield accounts


def _blocks(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    block_windows: int,
    between: tuple[str | None, str | None],
    thin_columns: list[str],
) -> Iterator[_Landed]:
    """What was landed of ranges of accounts, each with about ``block_windows`` windows, in ascending order."""
    _check_engine(snapshot, engine)
    window_range = WindowRange.of(start, stop, snapshot.config.window_microseconds)
    try:
        sources = [_SourceCursors(source, window_range, thin_columns) for source in snapshot.sources()]
        loose = [SortedFile(path) for path in snapshot.loose_files()]
        loose_cursors = [AccountCursor(file, _ENGINE_COLUMNS, window_range.keep) for file in loose]
        coarse = plan_cuts([*(source.windows_file for source in sources), *loose], 4 * block_windows)
        for low, high in ranges_within(coarse, *between):
            windows = [concat(source.windows.take(low, high), WINDOWS_SCHEMA) for source in sources]
            records = [piece for cursor in loose_cursors for piece in cursor.take(low, high)]
            cuts = _fine_cuts(windows, records, block_windows)
            for fine_low, fine_high in ranges(cuts):
                inner = (low if fine_low is None else fine_low, high if fine_high is None else fine_high)
                landed = _Landed(engine, window_range.window)
                for source, table in zip(sources, windows, strict=True):
                    source.add_to(landed, _between(table, fine_low, fine_high), *inner)
                for piece in records:
                    landed.add_records(_between(piece, fine_low, fine_high))
                yield landed
    except FileNotFoundError as error:
        raise gone(error) from error


def account_shares(snapshot: Snapshot, parts: int) -> list[tuple[str | None, str | None]]:
    """About ``parts`` ranges of accounts with about as many records each, for `iter_profiles` in several processes."""
    try:
        return list(ranges(shares((SortedFile(path) for path in snapshot.record_files()), parts)))
    except FileNotFoundError as error:
        raise gone(error) from error


def read_records(
    snapshot: Snapshot,
    accounts: Sequence[str] | None = None,
    start: datetime | None = None,
    stop: datetime | None = None,
    *,
    vector: Mapping[str, int] | None = None,
    columns: Sequence[str] | None = None,
    window_aligned: bool = False,
) -> pa.Table:
    """Landed records, in no particular order.

    Parameters
    ----------
    accounts
        Account ids; None: all.
    start, stop
        Event times with ``start <= event_time < stop``; naive times are UTC.
    vector
        Only records below these offsets; chains that are not named do not count.
    columns
        Columns of the segment schema; None: all.
    window_aligned
        Move ``start`` and ``stop`` up to the next beginning of a window, as `read_profiles` does.

    Raises
    ------
    LakeError
        A file of the snapshot was swept meanwhile.
    """
    schema = segment_schema(snapshot.config.space)
    wanted = schema.names if columns is None else list(columns)
    needed = {ACCOUNT, "event_time"} | ({"topic_id", "partition", "offset"} if vector is not None else set())
    read = [*wanted, *sorted(needed - set(wanted))]
    window_range = WindowRange.of(start, stop, snapshot.config.window_microseconds if window_aligned else 1)
    names = None if accounts is None else sorted(set(accounts))
    pieces = [schema.empty_table().select(wanted)]
    try:
        for path in snapshot.record_files():
            file = SortedFile(path)
            if names is None:
                table = window_range.keep(file.read([group.index for group in file.groups], read))
            else:
                table = window_range.keep(file.of_accounts(names, read))
            if vector is not None:
                table = below(table, vector)
            pieces.append(table.select(wanted))
    except FileNotFoundError as error:
        raise gone(error) from error
    return pa.concat_tables(pieces)


class _Landed:
    """What was found for one set of accounts: landed rows, and records of what has none."""

    def __init__(self, engine: Engine, window: int) -> None:
        self._engine = engine
        self._window = window
        self._windows: list[pa.Table] = []
        self._heavy: list[pa.Table] = []
        self._records: list[pa.Table] = []
        self._thin_records: list[pa.Table] = []

    def add(self, windows: pa.Table, heavy: pa.Table | None) -> WindowKeys | None:
        """Take landed rows; the keys whose heavy part has to be computed from records, if there are any."""
        self._windows.append(windows)
        if heavy is not None and heavy.num_rows:
            self._heavy.append(heavy)
        thin = windows.select([ACCOUNT, "window_start"]).filter(
            pc.less(windows.column("records"), MIN_RECORDS)
        )
        return WindowKeys.of(thin, self._window) if thin.num_rows else None

    def add_records(self, records: pa.Table) -> None:
        """Take records that no landed row sums up."""
        if records.num_rows:
            self._records.append(records)

    def add_thin(self, records: pa.Table) -> None:
        """Take records of thin rows."""
        if records.num_rows:
            self._thin_records.append(records)

    def accounts(self) -> AccountWindows:
        """The sum of all that was taken, by account; of thin records it needs the heavy columns alone."""
        parameters, nothing = self._engine.parameters, Profiles.empty(self._engine.parameters)
        return AccountWindows.summed(
            parameters,
            concat(self._windows, WINDOWS_SCHEMA),
            concat(self._heavy, PROFILES_SCHEMA),
            self._engine.heavy_parts(pa.concat_tables(self._thin_records)) if self._thin_records else nothing,
            self._engine.profiles(pa.concat_tables(self._records)) if self._records else nothing,
        )

    def profiles(self) -> Profiles:
        """The sum of all that was taken, by account and window; the whole thin row comes from records then."""
        parameters = self._engine.parameters
        parts = [Profiles.empty(parameters)]
        windows = concat(self._windows, WINDOWS_SCHEMA)
        thick = windows.filter(pc.greater_equal(windows.column("records"), MIN_RECORDS))
        if thick.num_rows or self._heavy:
            parts.append(Profiles.from_tables(parameters, thick, concat(self._heavy, PROFILES_SCHEMA)))
        records = [*self._records, *self._thin_records]
        if records:
            parts.append(self._engine.profiles(pa.concat_tables(records)))
        return Profiles.merge(*parts)


class _SourceCursors:
    """The files of one source, read forward together."""

    def __init__(self, source: Source, window_range: WindowRange, thin_columns: list[str]) -> None:
        keep = window_range.keep
        self.windows_file = SortedFile(source.windows)
        self.windows = AccountCursor(self.windows_file, _WINDOWS_COLUMNS, keep)
        self._heavy = (
            AccountCursor(SortedFile(source.profiles), _PROFILES_COLUMNS, keep) if source.profiles else None
        )
        self._records = [AccountCursor(SortedFile(path), thin_columns, keep) for path in source.records]

    def add_to(self, landed: _Landed, windows: pa.Table, low: str | None, high: str | None) -> None:
        """Hand over the rows of accounts from ``low`` to before ``high``; records only where they are needed."""
        if not windows.num_rows:
            return
        heavy = self._heavy.take(low, high) if self._heavy else []
        thin = landed.add(windows, pa.concat_tables(heavy) if heavy else None)
        if thin is None:
            return
        for cursor in self._records:
            for piece in cursor.take(low, high):
                landed.add_thin(thin.keep(piece))


def concat(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables of one schema as one, which may be empty."""
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _check_engine(snapshot: Snapshot, engine: Engine) -> None:
    config = snapshot.config
    if engine.parameters.fingerprint != config.parameters:
        msg = (
            f"the engine has parameters {engine.parameters.fingerprint}, the lake {snapshot.store.root} was made "
            f"with {config.parameters}; use Engine(lake.parameters, ...)"
        )
        raise SpaceMismatch(msg)
    if engine.window_seconds != config.window_seconds:
        msg = f"the engine has windows of {engine.window_seconds} s, the lake of {config.window_seconds} s"
        raise LakeError(msg)


def _of_accounts(path: Path, accounts: Sequence[str], columns: Sequence[str], keep: WindowRange) -> pa.Table:
    return keep.keep(SortedFile(path).of_accounts(accounts, columns))


def _between(table: pa.Table, low: str | None, high: str | None) -> pa.Table:
    """Rows of a table sorted by account that lie in a range."""
    accounts = table.column(ACCOUNT)
    first = 0 if low is None else count_below(accounts, low)
    after = table.num_rows if high is None else count_below(accounts, high)
    return table.slice(first, max(0, after - first))


def _fine_cuts(windows: Sequence[pa.Table], records: Sequence[pa.Table], block_windows: int) -> list[str]:
    """Accounts at which to cut so that a block has about ``block_windows`` profiles."""
    weighed = [(table, _RECORDS_PER_WINDOW) for table in windows] + [(table, 1) for table in records]
    parts = [
        pa.table({ACCOUNT: table.column(ACCOUNT), "weight": pa.repeat(pa.scalar(weight), table.num_rows)})
        for table, weight in weighed
        if table.num_rows
    ]
    if not parts:
        return []
    per_account = pa.concat_tables(parts).group_by(ACCOUNT).aggregate([("weight", "sum")]).sort_by(ACCOUNT)
    reached = np.cumsum(per_account.column("weight_sum").to_numpy()) // (block_windows * _RECORDS_PER_WINDOW)
    first_of_block = np.flatnonzero(np.diff(reached)) + 1
    names = per_account.column(ACCOUNT)
    return [names[int(index)].as_py() for index in first_of_block]
