"""One pass over a lake's profiles, keeping of each account what scoring needs (some 5 kB)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.clusters import AccountTies
from pipeline.detectors.base import MIN_RECORDS
from pipeline.lake.reader import iter_profiles
from pipeline.records.schema import KIND_RECORD
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table
from pipeline.signals.base import slim
from pipeline.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from numpy.typing import NDArray

    from pipeline.engine import Engine
    from pipeline.lake import Snapshot
    from pipeline.profiles import Profiles


@dataclass(frozen=True, slots=True)
class LakeAccounts:
    """Every account of a lake: signals, first and last window, ties, and all of them together.

    ``table`` lacks the signals that need the population until `with_population`; ``first`` and ``last`` int64[n]
    are window starts in microseconds.
    """

    table: SignalTable
    parts: tuple[Profiles, ...]
    ties: AccountTies
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    population: Population

    @property
    def scorable(self) -> int:
        """Accounts with records enough to be judged."""
        return int((self.table.records >= MIN_RECORDS).sum())

    def with_population(self, context: Context) -> SignalTable:
        """All signals."""
        late = {name: signal for name, signal in SIGNALS.items() if signal.needs_population}
        found = SignalTable.joined([signal_table(part, context, late) for part in self.parts], list(late))
        return SignalTable(self.table.account_id, self.table.records, {**self.table.columns, **found.columns})


def read_accounts(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None,
    stop: datetime | None,
    report: Callable[[str, int, int], None] | None = None,
) -> LakeAccounts:
    """Read the profiles of a time range once, in blocks."""
    local = {name: signal for name, signal in SIGNALS.items() if not signal.needs_population}
    tables, parts, ties, first, last = [], [], [], [], []
    population = Population.empty()
    done = 0
    for block in iter_profiles(snapshot, engine, start, stop):
        accounts = block.by_account()
        # Windows ascend within an account, so the last row of each has the newest.
        change = np.flatnonzero(block.account_id[1:] != block.account_id[:-1])
        last.append(block.window_start[np.append(change, len(block) - 1)])
        first.append(accounts.window_start.copy())
        population = population.plus(Population.of(accounts))
        tables.append(_filled(signal_table(accounts, Context(), local)))
        parts.append(slim(accounts))
        ties.append(AccountTies.of(accounts.take(accounts.records >= MIN_RECORDS)))
        done += len(accounts)
        if report is not None:
            report("accounts", done, 0)
    return LakeAccounts(
        SignalTable.joined(tables, list(SIGNALS)),
        tuple(parts),
        AccountTies.joined(ties, engine.parameters.space.dimension),
        np.concatenate([np.empty(0, np.int64), *first]),
        np.concatenate([np.empty(0, np.int64), *last]),
        population,
    )


def _filled(table: SignalTable) -> SignalTable:
    """With a column for every signal, NaN where it is still to come."""
    nothing = np.full(len(table), np.nan)
    return SignalTable(
        table.account_id, table.records, {name: table.columns.get(name, nothing) for name in SIGNALS}
    )


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


def payments_of(snapshot: Snapshot) -> dict[str, list[str]]:
    """Payment ids of each account, sorted, from the landed records; read file by file."""
    found: dict[str, set[str]] = {}
    for path in snapshot.record_files():
        kind = [("kind", "=", KIND_RECORD)] if "kind" in pq.read_schema(path).names else None
        table = pq.read_table(path, columns=["account_id", "payment_id"], filters=kind)
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
