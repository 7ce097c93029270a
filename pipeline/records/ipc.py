"""Arrow IPC streams as message values: recognised, guarded, read, written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa

from pipeline.errors import InvalidRecord, Reason
from pipeline.records.ipc_headers import CONTINUATION, check_headers
from pipeline.records.limits import cut, shorten
from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from pipeline.records.limits import Limits

_UNREADABLE = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
)
# What a column of the contract may be made of. Everything else (run-end encoding, unions, views of lists,
# extension types, dictionaries of anything but strings) is refused before a batch is read.
_PLAIN = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_timestamp,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
)
_AS_BYTES = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


def is_stream(value: bytes) -> bool:
    """Whether a message value begins like an Arrow IPC stream; no JSON text does."""
    return value.startswith(CONTINUATION)


def read_stream(value: bytes, limits: Limits) -> tuple[pa.Table, list[str]]:
    """The contract's columns in one message, and the names of the other columns.

    Columns outside the contract are neither decompressed nor read. What is returned is safe to work on:
    offsets, indices and lengths have been checked. Only the encoding of texts has not.

    Raises
    ------
    InvalidRecord
        ``not_arrow``, ``arrow_bomb`` or ``arrow_schema``.
    """
    check_headers(value, limits)
    try:
        with pa.ipc.open_stream(value) as reader:
            schema = reader.schema
        wanted = [i for i, field in enumerate(schema) if field.name in KNOWN]
        others = [field.name for field in schema if field.name not in KNOWN]
        for i in wanted:
            check_type(schema.field(i))
        if not wanted:
            _refuse_strangers(others)
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        with pa.ipc.open_stream(value, options=options) as reader:
            table = reader.read_all()
        for column in table.columns:
            for chunk in column.chunks:
                _validate(chunk, limits)
    except _UNREADABLE as error:
        detail = f"not a readable Arrow IPC stream ({cut(str(error), 200)}); write it with an Arrow library's stream writer"
        raise InvalidRecord(Reason.NOT_ARROW, detail) from None
    if not len(table):
        raise InvalidRecord(Reason.NOT_ARROW, "the Arrow stream holds no records; send none without records")
    return table, others


def check_type(field: pa.Field) -> None:
    """Refuse a column whose type no value of the contract has.

    Raises
    ------
    InvalidRecord
        ``arrow_schema``.
    """
    kind = field.type
    if pa.types.is_dictionary(kind):
        good = kind.value_type in _AS_BYTES
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        good = pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    else:
        good = any(test(kind) for test in _PLAIN)
    if not good:
        raise InvalidRecord(
            Reason.ARROW_SCHEMA,
            f"column {field.name} has type {cut(str(kind))}, which is not taken; send plain columns "
            "(string, int64, float64, bool, uint64, timestamp, fixed_size_binary or list of floats)",
        )


def write_stream(table: pa.Table, compression: str | None = None) -> bytes:
    """One IPC stream of a table."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _refuse_strangers(names: list[str]) -> NoReturn:
    shown = ", ".join(shorten(name, 40) for name in names[:8]) or "none"
    detail = (
        f"no column of the Arrow stream is part of the contract (columns: {shown}); see the record fields"
    )
    raise InvalidRecord(Reason.ARROW_SCHEMA, detail)


def _validate(chunk: pa.Array, limits: Limits) -> None:
    """Check everything but the encoding of texts, which is a fault of single rows."""
    if pa.types.is_dictionary(chunk.type):
        indices, words = chunk.indices, chunk.dictionary
        _validate(indices, limits)
        _validate(words, limits)
        if indices.null_count < len(indices):
            bounds = pa.compute.min_max(indices)
            if bounds["min"].as_py() < 0 or bounds["max"].as_py() >= len(words):
                raise InvalidRecord(
                    Reason.NOT_ARROW, "a dictionary index lies outside its dictionary; write it again"
                )
        _check_expansion(pa.compute.binary_length(words.cast(pa.large_string())).take(indices), limits)
        return
    plain = _AS_BYTES.get(chunk.type)
    if plain is None:
        chunk.validate(full=True)
        return
    view = chunk.view(plain)
    view.validate(full=True)
    if pa.types.is_string_view(chunk.type):
        # Many views may share one text.
        _check_expansion(pa.compute.binary_length(view.cast(pa.large_binary())), limits)


def _check_expansion(lengths: pa.Array, limits: Limits) -> None:
    total = pa.compute.sum(lengths.cast(pa.int64())).as_py() or 0
    if total > limits.max_uncompressed_bytes:
        raise InvalidRecord(
            Reason.ARROW_BOMB,
            f"a column unfolds to {total} bytes, at most {limits.max_uncompressed_bytes} are taken; "
            "send smaller batches, or raise the limits",
        )
