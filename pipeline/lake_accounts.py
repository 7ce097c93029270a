"""One pass over a lake's profiles, keeping of each account what scoring needs (some 5 kB)."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.account_signals import filled, hourly_activity
from pipeline.clusters.ties import AccountTies
from pipeline.config import one_thread_per_product
from pipeline.detectors.base import MIN_RECORDS
from pipeline.engine import ENGINE_COLUMNS, Engine
from pipeline.errors import LakeError
from pipeline.lake.reader import account_shares, iter_accounts
from pipeline.lake.selection import below
from pipeline.lake_records import record_blocks
from pipeline.parent import end_with_parent
from pipeline.profiles import Profiles
from pipeline.profiles.accounts import AccountWindows
from pipeline.records.schema import KIND_RECORD
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table
from pipeline.signals.base import slim, slim_of
from pipeline.signals.every import EVERY
from pipeline.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from numpy.typing import NDArray

    from pipeline.lake import Snapshot
    from pipeline.parameters import Parameters


DETAIL = 4000
"""Lakes with at most so many scorable accounts have all of them read in detail, larger ones a choice of them."""

SHARED_RECORDS = 500_000
"""Lakes with fewer records are read before other processes have begun."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Records per account and window: int64[m] each; ``row`` is the account's row in `LakeAccounts.table`."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    records: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Activity]) -> Activity:
        """Several, one after the other."""
        nothing = np.empty(0, np.int64)
        return cls(
            np.concatenate([nothing, *(part.row for part in parts)]),
            np.concatenate([nothing, *(part.start for part in parts)]),
            np.concatenate([nothing, *(part.records for part in parts)]),
        )

    def of(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Records per hour of the chosen accounts, int64[chosen, hours]."""
        number = np.cumsum(chosen) - 1
        mine = chosen[self.row]
        return hourly_activity(
            number[self.row[mine]], self.start[mine], self.records[mine], int(chosen.sum())
        )


@dataclass(frozen=True, slots=True)
class LakeAccounts:
    """Every account of a lake: signals, first and last window, ties, and all of them together.

    ``table`` lacks the signals that need the population until `with_population`, and those that are read from records;
    ``first`` and ``last`` int64[n] are window starts in microseconds. ``profiles`` are those of the scorable accounts,
    or None where these are more than `DETAIL`.
    """

    table: SignalTable
    parts: tuple[Profiles, ...]
    ties: AccountTies
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    population: Population
    activity: Activity
    profiles: Profiles | None

    @property
    def scorable(self) -> int:
        """Accounts with records enough to be judged."""
        return int((self.table.records >= MIN_RECORDS).sum())

    @classmethod
    def joined(cls, shares: Sequence[LakeAccounts], engine: Engine) -> LakeAccounts:
        """Several ranges of accounts, one after the other."""
        population, moved, done = Population.empty(), [], 0
        for share in shares:
            population = population.plus(share.population)
            moved.append(replace(share.activity, row=share.activity.row + done))
            done += len(share.table)
        deep = [share.profiles for share in shares if share.profiles is not None]
        whole = len(deep) == len(shares) and sum(map(len, deep)) <= DETAIL
        return cls(
            SignalTable.joined([share.table for share in shares], list(EVERY)),
            tuple(part for share in shares for part in share.parts),
            AccountTies.joined([share.ties for share in shares], engine.parameters.space.dimension),
            np.concatenate([np.empty(0, np.int64), *(share.first for share in shares)]),
            np.concatenate([np.empty(0, np.int64), *(share.last for share in shares)]),
            population,
            Activity.joined(moved),
            Profiles.merge(Profiles.empty(engine.parameters), *deep) if whole else None,
        )

    def with_population(self, context: Context) -> SignalTable:
        """All profile signals; the others have no value yet."""
        late = {name: signal for name, signal in SIGNALS.items() if signal.needs_population}
        found = SignalTable.joined([signal_table(part, context, late) for part in self.parts], list(late))
        return SignalTable(self.table.account_id, self.table.records, {**self.table.columns, **found.columns})


@dataclass(frozen=True, slots=True)
class _Packed:
    """Pieces of a lake on the way from one process to another: of slim profiles only what there is."""

    pieces: tuple[LakeAccounts, ...]
    parts: tuple[tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], ...]

    @classmethod
    def of(cls, pieces: Sequence[LakeAccounts]) -> _Packed:
        parts = tuple(
            (part.account_id, part.window_start, part.records, part.kernel_mean)
            for piece in pieces
            for part in piece.parts
        )
        return cls(tuple(replace(piece, parts=()) for piece in pieces), parts)

    def unpacked(self, parameters: Parameters) -> list[LakeAccounts]:
        """The pieces again; each has one part."""
        return [
            replace(piece, parts=(slim_of(parameters, *part),))
            for piece, part in zip(self.pieces, self.parts, strict=True)
        ]

    def written(self, path: Path) -> Path:
        """Put them into a new file, and say where.

        Some 10 kB an account: the pipe of a pool, which asks for memory anew with every 64 kB that it hands on, takes a
        quarter of the time that reading a large lake does.

        Raises
        ------
        LakeError
            There is no room for it.
        """
        try:
            with path.open("xb") as file:
                pickle.dump(self, file, protocol=5)
        except OSError as error:
            msg = (
                f"{path}: what was read of the lake could not be put there ({error.strerror}); it takes some 10 kB an account. "
                "Make room, name another folder in TMPDIR, or read in one process (--workers 1)"
            )
            raise LakeError(msg) from error
        return path

    @classmethod
    def taken(cls, path: Path) -> _Packed:
        """What a process of our pool has `written`; the file is gone then."""
        with path.open("rb") as file:
            found = pickle.load(file)  # noqa: S301 -- our own worker's, in a folder that only this user may enter
        path.unlink()
        assert isinstance(found, cls)
        return found


def read_accounts(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    report: Callable[[str, int, int], None] | None = None,
    *,
    vector: Mapping[str, int] | None = None,
    workers: int = 1,
) -> LakeAccounts:
    """Read the profiles of a time range once, in blocks.

    Parameters
    ----------
    vector
        Only records below these offsets; everything is then computed from records.
    workers
        Processes that read a large lake, a range of accounts each; the result does not depend on it.
    """

    def told(done: int) -> None:
        if report is not None:
            report("accounts", done, 0)

    # A device is one: processes would only take turns on it.
    shared = workers > 1 and vector is None and engine.backend.name == "numpy"
    if shared and _records(snapshot) >= SHARED_RECORDS:
        return LakeAccounts.joined(_read_shares(snapshot, engine, start, stop, workers, told), engine)
    blocks = (
        iter_accounts(snapshot, engine, start, stop)
        if vector is None
        else _accounts_below(snapshot, engine, start, stop, vector)
    )
    return LakeAccounts.joined(_read(blocks, told), engine)


def _records(snapshot: Snapshot) -> int:
    return sum(pq.read_metadata(path).num_rows for path in snapshot.record_files())


def _read_shares(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    workers: int,
    told: Callable[[int], None],
) -> list[LakeAccounts]:
    """The pieces of ranges of accounts, each range read by a process of its own, in their order."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    found: list[LakeAccounts] = []
    # No more ranges than processes: each range reads the windows of every file around its ends once more.
    between = account_shares(snapshot, workers)
    with (
        TemporaryDirectory(prefix="distillwatch-") as folder,
        one_thread_per_product(),
        ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool,
    ):
        settings = (snapshot, engine.parameters, engine.window_seconds, start, stop)
        tasks = [
            pool.submit(_read_share, Path(folder, str(number)), *settings, each)
            for number, each in enumerate(between)
        ]
        while tasks:
            found.extend(_Packed.taken(tasks.pop(0).result()).unpacked(engine.parameters))
            told(sum(len(piece.table) for piece in found))
    return found


def _read_share(
    path: Path,
    snapshot: Snapshot,
    parameters: Parameters,
    window_seconds: int,
    start: datetime | None,
    stop: datetime | None,
    between: tuple[str | None, str | None],
) -> Path:
    """Read a range of accounts and put what was found into a file."""
    engine = Engine(parameters, window_seconds=window_seconds)
    blocks = iter_accounts(snapshot, engine, start, stop, between=between)
    return _Packed.of(_read(blocks, lambda _: None)).written(path)


def _read(blocks: Iterable[AccountWindows], told: Callable[[int], None]) -> list[LakeAccounts]:
    """What is kept of each block of whole accounts, in ascending order; joined once, for copies of it are large."""
    local = {name: signal for name, signal in SIGNALS.items() if not signal.needs_population}
    pieces: list[LakeAccounts] = []
    done = deep = 0
    for block in blocks:
        accounts = block.accounts
        scorable = accounts.take(accounts.records >= MIN_RECORDS)
        deep += len(scorable)
        if deep > DETAIL >= deep - len(scorable):
            pieces = [replace(piece, profiles=None) for piece in pieces]
        pieces.append(
            LakeAccounts(
                filled(signal_table(accounts, Context(), local)),
                (slim(accounts),),
                AccountTies.of_accounts(block),
                accounts.window_start.copy(),
                block.last,
                Population.of(accounts),
                Activity(block.row, block.start, block.records),
                scorable if deep <= DETAIL else None,
            )
        )
        done += len(accounts)
        told(done)
    return pieces


def _accounts_below(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    vector: Mapping[str, int],
) -> Iterator[AccountWindows]:
    """All accounts from the records below an offset vector, in blocks."""
    for block in record_blocks(snapshot, None, start, stop, ENGINE_COLUMNS, vector=vector):
        yield AccountWindows.of(engine.profiles(block))


def last_window_end(snapshot: Snapshot, window_seconds: int) -> datetime | None:
    """End of the newest window of a lake; None if it is empty."""
    newest: int | None = None
    for path in [*snapshot.window_files(), *snapshot.loose_files()]:
        column = "window_start" if "window_start" in pq.read_schema(path).names else "event_time"
        value = pc.max(pq.read_table(path, columns=[column])[column].cast(pa.int64())).as_py()
        if value is not None and (newest is None or value > newest):
            newest = value
    if newest is None:
        return None
    window = window_seconds * 1_000_000
    return moment(newest // window * window + window)


def payments_of(snapshot: Snapshot, vector: Mapping[str, int] | None = None) -> dict[str, list[str]]:
    """Payment ids of each account, sorted, from the landed records (below an offset vector); read file by file."""
    found: dict[str, set[str]] = {}
    position = ["topic_id", "partition", "offset"] if vector is not None else []
    for path in snapshot.record_files():
        kind = [("kind", "=", KIND_RECORD)] if "kind" in pq.read_schema(path).names else None
        table = pq.read_table(path, columns=["account_id", "payment_id", *position], filters=kind)
        if vector is not None:
            table = below(table, vector)
        table = (
            table.filter(pc.is_valid(table["payment_id"]))
            .group_by(["account_id", "payment_id"])
            .aggregate([])
        )
        for account, payment in zip(
            table["account_id"].to_pylist(), table["payment_id"].to_pylist(), strict=True
        ):
            found.setdefault(account, set()).add(payment)
    return {account: sorted(payments) for account, payments in found.items()}


def lookback_range(
    snapshot: Snapshot, window_seconds: int, as_of: datetime | None, lookback: timedelta | None
) -> tuple[datetime | None, datetime | None]:
    """Start and stop of the windows to judge; None is no bound."""
    if lookback is None:
        return None, as_of
    stop = as_of or last_window_end(snapshot, window_seconds)
    return (stop - lookback if stop else None), stop
