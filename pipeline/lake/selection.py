"""Narrowing tables: a range of windows, an offset vector, the records of some (account, window) keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_SECOND = 1_000_000


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 of a time; naive means UTC."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds


@dataclass(frozen=True, slots=True)
class WindowRange:
    """Windows with ``start <= window_start < stop``, in microseconds; None is no bound.

    The bounds are moved up to the next beginning of a window, where they mean the same for windows and for the
    event times of the records inside.
    """

    start: int | None
    stop: int | None
    window: int

    @classmethod
    def of(cls, start: datetime | None, stop: datetime | None, window: int = 1) -> WindowRange:
        """From times; ``window`` in microseconds, 1 for a range of event times that is not moved."""

        def up(time: datetime | None) -> int | None:
            return None if time is None else -(-microseconds(time) // window) * window

        return cls(up(start), up(stop), window)

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.start is None and self.stop is None

    def keep(self, table: pa.Table) -> pa.Table:
        """Rows inside; the table has ``window_start`` or ``event_time``."""
        if self.everything or not table.num_rows:
            return table
        name = "window_start" if "window_start" in table.column_names else "event_time"
        times = table.column(name).cast(pa.int64())
        mask = pa.scalar(True)
        if self.start is not None:
            mask = pc.and_(mask, pc.greater_equal(times, self.start))
        if self.stop is not None:
            mask = pc.and_(mask, pc.less(times, self.stop))
        return table.filter(mask)


def below(table: pa.Table, vector: Mapping[str, int]) -> pa.Table:
    """Rows whose position lies below an offset vector; chains that are not in it do not count.

    Needs the columns ``topic_id``, ``partition``, ``offset``.
    """
    if not table.num_rows:
        return table
    topic = table.column("topic_id").combine_chunks()
    topic = topic.dictionary_encode()
    topic = topic.combine_chunks() if isinstance(topic, pa.ChunkedArray) else topic
    codes = topic.indices.to_numpy()
    partitions = table.column("partition").to_numpy().astype(np.int64)
    pairs, inverse = np.unique(np.stack([codes, partitions], axis=1), axis=0, return_inverse=True)
    names = topic.dictionary.to_pylist()
    limits = np.array([vector.get(f"{names[code]}/{partition}", 0) for code, partition in pairs], np.int64)
    return table.filter(pa.array(table.column("offset").to_numpy() < limits[inverse.reshape(-1)]))


@dataclass(frozen=True, slots=True)
class WindowKeys:
    """A set of (account, window) keys, to pick the records behind them."""

    accounts: pa.Array
    codes: NDArray[np.int64]
    window: int

    @classmethod
    def of(cls, windows: pa.Table, window: int) -> WindowKeys:
        """The keys of a table of windows (``account_id``, ``window_start``)."""
        accounts = pc.unique(windows.column("account_id"))
        return cls(
            accounts,
            _codes(windows.column("account_id"), windows.column("window_start"), accounts, window),
            window,
        )

    def keep(self, records: pa.Table) -> pa.Table:
        """The rows of these keys; the table has ``window_start`` or ``event_time``."""
        if not records.num_rows or not len(self.accounts):
            return records.slice(0, 0)
        times = records.column("window_start" if "window_start" in records.column_names else "event_time")
        codes = _codes(records.column("account_id"), times, self.accounts, self.window)
        return records.filter(pa.array(np.isin(codes, self.codes)))


def _codes(
    account_column: pa.ChunkedArray, time_column: pa.ChunkedArray, accounts: pa.Array, window: int
) -> NDArray[np.int64]:
    """One number per (account, window): the account's place in the high bits, -1 for other accounts.

    Windows of a second would take 30,000 years to pass 2**40; event times before 1970 are rejected at the edge.
    """
    places = pc.fill_null(pc.index_in(account_column, value_set=accounts), -1).to_numpy().astype(np.int64)
    numbers = time_column.cast(pa.int64()).to_numpy() // window
    return np.where(places < 0, np.int64(-1), (places << 40) | numbers)
