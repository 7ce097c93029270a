"""Rows of an Arrow table (an IPC message, a Parquet file) to the columns of a `Batch`.

A column is cast only where that loses nothing and can mean one thing only: wider or narrower integers, other
string layouts, dictionaries of strings, whole numbers stored as floats (pandas does that to integers with gaps),
any timestamp. What is wrong with one value faults its row; what is wrong with a column's type refuses the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import InvalidRecord, Reason
from pipeline.records import embeddings
from pipeline.records.batch import Batch
from pipeline.records.checks import BOOLEANS, INTEGERS, REALS, STRINGS
from pipeline.records.hashes import HASH_FIELDS
from pipeline.records.interpret import decode_base64, is_text, text_without_embedding
from pipeline.records.json_columns import hash_of, time_of
from pipeline.records.limits import cut, shorten
from pipeline.records.schema import POSITION_FIELDS
from pipeline.records.times import parse_times, seconds_to_times
from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from pipeline.spaces import EmbeddingSpace

POSITION_NAMES = frozenset(field.name for field in POSITION_FIELDS)
_TICKS = {"s": 1_000_000, "ms": 1_000}


def to_batch(
    table: pa.Table,
    *,
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    append_times: NDArray[np.int64] | None,
) -> Batch:
    """Every column but the embedding (see `fill_embedding`); values that do not fit are faults.

    Raises
    ------
    InvalidRecord
        ``arrow_schema`` if a column has a type that is not taken, or occurs twice.
    """
    n = len(table)
    batch = Batch({}, np.zeros(n, np.int64), np.zeros((0, 0), np.int8), offsets, rows, append_times)
    names = table.column_names
    for name in sorted(KNOWN):
        if names.count(name) > 1:
            raise InvalidRecord(
                Reason.ARROW_SCHEMA, f"column {name} occurs {names.count(name)} times; send it once"
            )
    for name in ("request_id", "account_id"):
        batch.columns[name] = _strings(batch, table, name) if name in names else pa.nulls(n, pa.string())
    batch.times = _times(batch, table)
    converters: tuple[tuple[tuple[str, ...], Callable[[Batch, pa.Table, str], pa.Array]], ...] = (
        (STRINGS[2:], _strings),
        (INTEGERS, _integers),
        (REALS, _reals),
        (BOOLEANS, _booleans),
        (HASH_FIELDS, _hashes),
    )
    for group, convert in converters:
        for name in group:
            if name in names and not pa.types.is_null(table.schema.field(name).type):
                batch.columns[name] = convert(batch, table, name)
    return batch


def unknown_columns(names: Iterable[str]) -> list[str]:
    """Columns that are no part of the contract; position columns, as in an exported table, are no surprise."""
    return [name for name in names if name not in KNOWN and name not in POSITION_NAMES]


def single(column: pa.ChunkedArray) -> pa.Array:
    """One contiguous array of a column."""
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        # Only past 2 GiB of string data, which no bounded block reaches.
        raise InvalidRecord(Reason.ARROW_SCHEMA, "a column holds more than 2 GiB; send smaller messages")
    return combined


def fill_embedding(batch: Batch, table: pa.Table, others: Iterable[str], space: EmbeddingSpace) -> None:
    """Put the embeddings on the grid, or note why not.

    Parameters
    ----------
    others
        Names of the columns outside the contract: where they hold text, a missing embedding has another way out.

    Raises
    ------
    InvalidRecord
        ``arrow_schema`` if the column's type is not taken, ``wrong_dimension`` if its fixed width is another.
    """
    n, d = len(table), space.dimension
    batch.embedding = np.zeros((n, d), np.int8)
    if "embedding" not in table.column_names:
        _without_embedding(batch, others, range(n), "missing")
        return
    column = single(table.column("embedding"))
    kind = column.type
    if column.null_count:
        _without_embedding(batch, others, _where(pc.is_null(column)), "null")
        if column.null_count == n:
            return
    index = np.arange(n) if not column.null_count else np.array(_where(pc.is_valid(column)), np.intp)
    present = column if not column.null_count else column.drop_null()
    if pa.types.is_fixed_size_binary(kind):
        if kind.byte_width != d:
            raise InvalidRecord(*embeddings.wrong_dimension(kind.byte_width, space, " int8 values"))
        data = np.frombuffer(present.buffers()[1], np.int8, len(present) * d, present.offset * d)
        embeddings.take_grid(batch, index, data.reshape(len(present), d), space)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        embeddings.take_grid_bytes(batch, index, present.to_pylist(), space)
    elif _is_text(kind):
        _from_base64(batch, index, _decoded(present), space)
    elif _is_list(kind):
        _from_lists(batch, index, present, space)
    else:
        raise InvalidRecord(
            Reason.ARROW_SCHEMA, _schema_detail("embedding", kind, _EMBEDDING_TYPES.format(d=d))
        )


_EMBEDDING_TYPES = (
    "fixed_size_binary({d}) with the int8 values, or a list or fixed-size list of float16, float32 or float64"
)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _decoded(column: pa.Array) -> pa.Array:
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _from_base64(batch: Batch, index: NDArray[np.intp], column: pa.Array, space: EmbeddingSpace) -> None:
    places, values = [], []
    for row, text in zip(index, _checked_utf8(batch, column, "embedding", index).to_pylist(), strict=True):
        if text is None:
            continue
        try:
            values.append(decode_base64(text))
        except InvalidRecord as error:
            batch.fault(int(row), error.reason, error.message)
        else:
            places.append(row)
    embeddings.take_grid_bytes(batch, np.array(places, np.intp), values, space)


def _from_lists(batch: Batch, index: NDArray[np.intp], column: pa.Array, space: EmbeddingSpace) -> None:
    kind, d = column.type, space.dimension
    if not pa.types.is_floating(kind.value_type):
        raise InvalidRecord(
            Reason.ARROW_SCHEMA, _schema_detail("embedding", kind, _EMBEDDING_TYPES.format(d=d))
        )
    if pa.types.is_fixed_size_list(kind):
        if kind.list_size != d:
            raise InvalidRecord(*embeddings.wrong_dimension(kind.list_size, space))
        flat = column.flatten()
    else:
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        wrong = lengths != d
        if wrong.any():
            for place in np.flatnonzero(wrong):
                batch.fault(int(index[place]), *embeddings.wrong_dimension(int(lengths[place]), space))
            index = index[~wrong]
            column = column.filter(pa.array(~wrong))
        flat = column.flatten()
    if flat.null_count:
        gaps = np.flatnonzero(pc.is_null(flat).to_numpy(zero_copy_only=False).reshape(-1, d).any(axis=1))
        for place in gaps:
            batch.fault(
                int(index[place]),
                Reason.BAD_EMBEDDING,
                "embedding holds a null; every value must be a number",
            )
        keep = np.ones(len(index), np.bool_)
        keep[gaps] = False
        index = index[keep]
        flat = flat.filter(pa.array(np.repeat(keep, d)))
    if len(index):
        vectors = flat.to_numpy(zero_copy_only=False).reshape(len(index), d)
        embeddings.take_vectors(batch, index, vectors, space)


def _without_embedding(batch: Batch, others: Iterable[str], rows: list[int] | range, state: str) -> None:
    texts = sorted({name for name in others if is_text(name)})
    if texts:
        reason, detail = text_without_embedding(texts)
    else:
        reason = Reason.NO_EMBEDDING
        detail = f"embedding is {state}; send the int8 values or a list of numbers in `embedding`"
    for row in rows:
        batch.fault(row, reason, detail)


def _strings(batch: Batch, table: pa.Table, name: str) -> pa.Array:
    column = single(table.column(name))
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if name == "status" and pa.types.is_integer(kind):
        return column.cast(pa.string())
    if not _is_text(kind):
        raise InvalidRecord(Reason.ARROW_SCHEMA, _schema_detail(name, kind, "string"))
    return _checked_utf8(batch, _decoded(column), name, np.arange(len(column)))


def _checked_utf8(batch: Batch, column: pa.Array, name: str, index: NDArray[np.intp]) -> pa.Array:
    """The column with ill-formed texts replaced by null; readers of Parquet do not look at the encoding."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        pass
    else:
        return column
    texts: list[str | None] = []
    for place, value in enumerate(column.cast(pa.binary()).to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError as error:
            texts.append(None)
            batch.fault(
                int(index[place]),
                Reason.WRONG_ENCODING,
                f"{name} is not UTF-8 at byte {error.start} ({shorten(value)}); send well-formed UTF-8",
            )
    return pa.array(texts, pa.string())


def _times(batch: Batch, table: pa.Table) -> NDArray[np.int64]:
    n = len(batch)
    names = table.column_names
    column = single(table.column("event_time")) if "event_time" in names else pa.nulls(n)
    kind = column.type
    if column.null_count:
        state = "null" if "event_time" in names else "missing"
        for row in _where(pc.is_null(column)):
            batch.fault(row, Reason.MISSING_FIELD, f"event_time is {state}; every record needs one")
    if pa.types.is_null(kind):
        return np.zeros(n, np.int64)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind):
        ticks = (
            column.cast(pa.timestamp(kind.unit)).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        )
        if kind.unit == "ns":
            floored: NDArray[np.int64] = ticks // 1000  # also before 1970
            return floored
        factor = _TICKS.get(kind.unit, 1)
        largest = np.iinfo(np.int64).max // factor
        # Times that leave int64 are far outside every bound; they stay outside it.
        scaled: NDArray[np.int64] = np.clip(ticks, -largest, largest) * factor
        return scaled
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
        times, good = seconds_to_times(numbers)
        for row in np.flatnonzero(valid & ~good).tolist():
            time_of(batch, int(row), numbers[row].item())
        return times
    if _is_text(kind):
        texts = _checked_utf8(batch, _decoded(column), "event_time", np.arange(n))
        times, good = parse_times(texts)
        for row in np.flatnonzero(valid & ~good).tolist():
            text = texts[int(row)].as_py()
            if text is not None:
                times[row] = time_of(batch, int(row), text)
        return times
    raise InvalidRecord(
        Reason.ARROW_SCHEMA,
        _schema_detail("event_time", kind, "timestamp, RFC 3339 text or seconds since 1970"),
    )


def _integers(batch: Batch, table: pa.Table, name: str) -> pa.Array:
    column = single(table.column(name))
    kind = column.type
    if pa.types.is_uint64(kind):
        large = _where(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())))
        for row in large:
            batch.fault(
                row,
                Reason.OUT_OF_RANGE,
                f"{name} is {column[row].as_py()}; at most 2**40 is taken, leave it out",
            )
        if large:
            column = pc.if_else(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())), None, column)
        return column.cast(pa.int64())
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if not pa.types.is_floating(kind):
        raise InvalidRecord(Reason.ARROW_SCHEMA, _schema_detail(name, kind, "int64"))
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    present = ~np.isnan(values)
    if name == "latency_ms":
        values = np.floor(values)
    far = present & ~(np.abs(values) < 2.0**63)
    for row in np.flatnonzero(far).tolist():
        batch.fault(int(row), Reason.OUT_OF_RANGE, f"{name} is {values[row]}; leave it out if unknown")
    broken = present & ~far & (np.floor(values) != values)
    for row in np.flatnonzero(broken).tolist():
        batch.fault(int(row), Reason.WRONG_TYPE, f"{name} is {values[row]}; send a whole number")
    keep = present & ~far & ~broken
    return pa.array(np.where(keep, values, 0.0).astype(np.int64), mask=~keep)


def _reals(batch: Batch, table: pa.Table, name: str) -> pa.Array:  # noqa: ARG001 (one signature for all converters)
    column = single(table.column(name))
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise InvalidRecord(Reason.ARROW_SCHEMA, _schema_detail(name, column.type, "float64"))
    return column.cast(pa.float64(), safe=False)


def _booleans(batch: Batch, table: pa.Table, name: str) -> pa.Array:  # noqa: ARG001
    column = single(table.column(name))
    if not pa.types.is_boolean(column.type):
        raise InvalidRecord(Reason.ARROW_SCHEMA, _schema_detail(name, column.type, "bool"))
    return column


def _hashes(batch: Batch, table: pa.Table, name: str) -> pa.Array:
    column = single(table.column(name))
    kind = column.type
    if pa.types.is_unsigned_integer(kind):
        return column.cast(pa.uint64())
    if pa.types.is_integer(kind):
        values = column.to_pylist()
    elif _is_text(kind):
        values = _checked_utf8(batch, _decoded(column), name, np.arange(len(column))).to_pylist()
    else:
        raise InvalidRecord(Reason.ARROW_SCHEMA, _schema_detail(name, kind, "uint64, or decimal or 0x… text"))
    hashes = [None if value is None else hash_of(batch, row, name, value) for row, value in enumerate(values)]
    return pa.array(hashes, pa.uint64())


def _schema_detail(name: str, kind: pa.DataType, wanted: str) -> str:
    return f"column {name} has type {cut(str(kind))}; send {wanted}"


def _where(mask: pa.Array) -> list[int]:
    flags = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return [int(row) for row in np.flatnonzero(flags)]
