"""One pass over a lake's profiles, keeping of each account what scoring needs (some 5 kB)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.account_signals import filled, hourly_activity
from pipeline.clusters import AccountTies
from pipeline.detectors.base import MIN_RECORDS
from pipeline.engine import ENGINE_COLUMNS
from pipeline.lake.reader import iter_profiles
from pipeline.lake.selection import below
from pipeline.lake_records import record_blocks
from pipeline.profiles import Profiles
from pipeline.records.schema import KIND_RECORD
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table
from pipeline.signals.base import slim
from pipeline.signals.every import EVERY
from pipeline.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from numpy.typing import NDArray

    from pipeline.engine import Engine
    from pipeline.lake import Snapshot


DETAIL = 4000
"""Lakes with at most so many scorable accounts have all of them read in detail, larger ones a choice of them."""


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

    def with_population(self, context: Context) -> SignalTable:
        """All profile signals; the others have no value yet."""
        late = {name: signal for name, signal in SIGNALS.items() if signal.needs_population}
        found = SignalTable.joined([signal_table(part, context, late) for part in self.parts], list(late))
        return SignalTable(self.table.account_id, self.table.records, {**self.table.columns, **found.columns})


def read_accounts(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    report: Callable[[str, int, int], None] | None = None,
    *,
    vector: Mapping[str, int] | None = None,
) -> LakeAccounts:
    """Read the profiles of a time range once, in blocks.

    Parameters
    ----------
    vector
        Only records below these offsets; everything is then computed from records.
    """
    local = {name: signal for name, signal in SIGNALS.items() if not signal.needs_population}
    tables, parts, ties, first, last, activity = [], [], [], [], [], []
    population = Population.empty()
    done = 0
    deep: list[Profiles] | None = [Profiles.empty(engine.parameters)]
    blocks = (
        iter_profiles(snapshot, engine, start, stop)
        if vector is None
        else _profiles_below(snapshot, engine, start, stop, vector)
    )
    for block in blocks:
        accounts = block.by_account()
        # Windows ascend within an account, so the last row of each has the newest.
        change = np.flatnonzero(block.account_id[1:] != block.account_id[:-1])
        ends = np.append(change, len(block) - 1)
        last.append(block.window_start[ends])
        first.append(accounts.window_start.copy())
        activity.append(
            Activity(
                done + np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1)),
                block.window_start.copy(),
                block.records.copy(),
            )
        )
        population = population.plus(Population.of(accounts))
        tables.append(filled(signal_table(accounts, Context(), local)))
        parts.append(slim(accounts))
        scorable = accounts.take(accounts.records >= MIN_RECORDS)
        ties.append(AccountTies.of(scorable))
        if deep is not None:
            deep.append(scorable)
            if sum(len(each) for each in deep) > DETAIL:
                deep = None
        done += len(accounts)
        if report is not None:
            report("accounts", done, 0)
    return LakeAccounts(
        SignalTable.joined(tables, list(EVERY)),
        tuple(parts),
        AccountTies.joined(ties, engine.parameters.space.dimension),
        np.concatenate([np.empty(0, np.int64), *first]),
        np.concatenate([np.empty(0, np.int64), *last]),
        population,
        Activity.joined(activity),
        None if deep is None else Profiles.merge(*deep),
    )


def _profiles_below(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    vector: Mapping[str, int],
) -> Iterator[Profiles]:
    """Profiles of all accounts by account and window, from the records below an offset vector, in blocks of accounts."""
    for block in record_blocks(snapshot, None, start, stop, ENGINE_COLUMNS, vector=vector):
        yield engine.profiles(block)


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
