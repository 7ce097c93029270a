"""Arrow IPC streams as message values: recognised, guarded, read."""

from __future__ import annotations

import pyarrow as pa

from pipeline.errors import InvalidRecord, Reason
from pipeline.records.limits import Limits, shorten

CONTINUATION = b"\xff\xff\xff\xff"


def is_stream(value: bytes) -> bool:
    """Whether a message value begins like an Arrow IPC stream; no JSON text does."""
    return value.startswith(CONTINUATION)


def read_stream(value: bytes, limits: Limits) -> pa.Table:
    """The table in one message.

    Raises
    ------
    InvalidRecord
        ``not_arrow`` or ``arrow_bomb``.
    """
    try:
        with pa.ipc.open_stream(value) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRecord(
            Reason.NOT_ARROW, f"not a readable Arrow IPC stream ({shorten(str(error), 200)})"
        ) from None
    if len(table) > limits.max_rows:
        raise InvalidRecord(
            Reason.ARROW_BOMB, f"{len(table)} records in one message; at most {limits.max_rows} are taken"
        )
    return table


def write_stream(table: pa.Table, compression: str | None = None) -> bytes:
    """One IPC stream of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
