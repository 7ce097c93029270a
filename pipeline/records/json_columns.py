"""Structs of decoded JSON messages to the columns of a `Batch`, column by column."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.errors import Reason
from pipeline.records import embeddings
from pipeline.records.batch import Batch
from pipeline.records.checks import (
    BOOLEANS,
    INTEGERS,
    MILLISECONDS_HINT,
    REALS,
    STRINGS,
    integer_out_of_range,
)
from pipeline.records.hashes import HASH_FIELDS, parse_hash
from pipeline.records.limits import shorten
from pipeline.records.times import parse_time, parse_times, seconds_to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.records.wire import WireRecord
    from pipeline.spaces import EmbeddingSpace

_TYPES = (
    *((name, pa.string()) for name in STRINGS),
    *((name, pa.int64()) for name in INTEGERS),
    *((name, pa.float64()) for name in REALS),
    *((name, pa.bool_()) for name in BOOLEANS),
    *((name, pa.uint64()) for name in HASH_FIELDS),
)
_GETTERS = tuple((name, kind, attrgetter(name)) for name, kind in _TYPES)
_TIME = attrgetter("event_time")
_EMBEDDING = attrgetter("embedding")


def to_batch(
    records: Sequence[WireRecord], offsets: NDArray[np.int64], append_times: NDArray[np.int64] | None
) -> Batch:
    """Every column but the embedding (see `fill_embedding`); values that do not fit are faults."""
    n = len(records)
    batch = Batch(
        {}, np.zeros(n, np.int64), np.zeros((0, 0), np.int8), offsets, np.zeros(n, np.int32), append_times
    )
    batch.times = _times(batch, list(map(_TIME, records)))
    for name, kind, get in _GETTERS:
        values = list(map(get, records))
        if values[0] is None and values.count(None) == n:
            continue
        try:
            batch.columns[name] = pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
            batch.columns[name] = pa.array(
                [_one(batch, i, name, value) for i, value in enumerate(values)], kind
            )
    return batch


def fill_embedding(batch: Batch, records: Sequence[WireRecord], space: EmbeddingSpace) -> None:
    """Put the embeddings on the grid, or note why not."""
    values: list[Any] = list(map(_EMBEDDING, records))
    if set(map(type, values)) == {bytes} and set(map(len, values)) == {space.dimension}:
        embeddings.take_grid_bytes(batch, None, values, space)
        return
    ready = np.fromiter((type(value) is bytes for value in values), np.bool_, len(values))
    batch.embedding = np.zeros((len(values), space.dimension), np.int8)
    bytes_at, lists_at = np.flatnonzero(ready), np.flatnonzero(~ready)
    embeddings.take_grid_bytes(batch, bytes_at, [values[i] for i in bytes_at], space)
    embeddings.take_lists(batch, lists_at, [values[i] for i in lists_at], space)


def _times(batch: Batch, values: list[Any]) -> NDArray[np.int64]:
    try:
        texts = pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        texts = pa.array([value if isinstance(value, str) else None for value in values], pa.string())
    times, good = parse_times(texts)
    for row in np.flatnonzero(~good):
        times[row] = time_of(batch, int(row), values[row])
    return times


def time_of(batch: Batch, row: int, value: str | float) -> int:
    """One time the slow way; a fault and 0 if it is none."""
    try:
        return parse_time(value) if isinstance(value, str) else seconds_to_microseconds(value)
    except ValueError:
        if isinstance(value, str):
            batch.fault(
                row,
                Reason.BAD_TIME,
                f"event_time is {shorten(value)}; send RFC 3339 (2026-01-31T12:00:00.25Z or with +02:00) or a number "
                "of seconds since 1970",
            )
        elif value != value:  # noqa: PLR0124 (NaN)
            batch.fault(row, Reason.BAD_TIME, "event_time is NaN; send RFC 3339 or seconds since 1970")
        else:
            reason = Reason.TIME_BEYOND_BOUND if value > 0 else Reason.TIME_BEFORE_1970
            batch.fault(
                row, reason, f"event_time is {shorten(value)} seconds since 1970; {MILLISECONDS_HINT}"
            )
    return 0


def _one(batch: Batch, row: int, name: str, value: Any) -> Any:
    """One value of a column that would not convert as a whole."""
    if value is None:
        return None
    if name in HASH_FIELDS:
        return hash_of(batch, row, name, value)
    if name in INTEGERS and not -(2**63) <= value < 2**63:
        batch.fault(row, *integer_out_of_range(name, value))
        return None
    return str(value) if name == "status" else value


def hash_of(batch: Batch, row: int, name: str, value: int | str) -> int | None:
    """One hash in any of its forms; a fault and None if it is none."""
    try:
        return parse_hash(value)
    except OverflowError:
        batch.fault(
            row,
            Reason.OUT_OF_RANGE,
            f"{name} is {shorten(value)}; send an unsigned 64-bit hash (0 … 2**64 - 1)",
        )
    except ValueError:
        batch.fault(
            row,
            Reason.WRONG_TYPE,
            f"{name} is {shorten(value)}; send an unsigned 64-bit integer, as a number, a decimal text, or a "
            "hexadecimal text with 0x in front",
        )
    return None
