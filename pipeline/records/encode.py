"""Records to message values: what producers (the simulator, tests, a gateway in Python) send."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from pipeline.records import ipc
from pipeline.records.wire import FIELDS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_json(table: pa.Table) -> list[bytes]:
    """One JSON message for each row.

    Parameters
    ----------
    table
        Columns of the contract (position columns and others are left out); ``embedding`` binary of d int8
        values or lists of floats, ``event_time`` timestamp, text or number.

    Returns
    -------
    list of bytes
        Compact JSON: nulls left out, int8 embeddings as base64, times as RFC 3339 with Z.
    """
    columns = {name: _json_values(table.column(name)) for name in FIELDS if name in table.column_names}
    encode = msgspec.json.Encoder().encode
    names = list(columns)
    return [
        encode({name: value for name, value in zip(names, row, strict=True) if value is not None})
        for row in zip(*columns.values(), strict=True)
    ]


def encode_arrow(table: pa.Table, *, compression: str | None = None) -> bytes:
    """All rows as one Arrow IPC stream, which is one message.

    Parameters
    ----------
    table
        As for `encode_json`.
    compression
        ``None``, ``"lz4"`` or ``"zstd"``.
    """
    names = [name for name in FIELDS if name in table.column_names]
    return ipc.write_stream(table.select(names).combine_chunks(), compression)


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        # Nanoseconds that are not there cost nothing and keep one path for all units.
        ticks = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if tick is None else _rfc3339(tick) for tick in ticks]
    values = column.to_pylist()
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if value is None else base64.b64encode(value).decode() for value in values]
    return list(values)


def _rfc3339(microseconds: int) -> str:
    return (
        (_EPOCH + timedelta(microseconds=microseconds))
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )
