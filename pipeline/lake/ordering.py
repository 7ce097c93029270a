"""The order of landed rows, and digests of positions and contents that do not depend on Parquet."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Arrow compares strings byte by byte, which is the key order of every lake file: UTF-8 bytes of the account.
RECORD_ORDER = ("account_id", "event_time", "request_id", "topic_id", "partition", "offset", "row")
POSITION_ORDER = ("topic_id", "partition", "offset", "row")


def sort_records(table: pa.Table) -> pa.Table:
    """Records by (account, event time, request id, position): a total order, so any arrival gives it."""
    return _sorted(table, RECORD_ORDER)


def sort_positions(table: pa.Table) -> pa.Table:
    """Rejected rows and tombstones, which have no account, by position."""
    return _sorted(table, POSITION_ORDER)


def _sorted(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    if table.num_rows < 2:
        return table
    # Ranks sort faster than strings, and a column with one value needs no comparing at all.
    keys = {}
    for name in names:
        column = table.column(name)
        if pa.types.is_string(column.type) and name != "request_id":
            encoded = column.combine_chunks().dictionary_encode()
            encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
            if len(encoded.dictionary) < 2 and encoded.null_count == 0:
                continue
            order = pc.sort_indices(encoded.dictionary).to_numpy()
            rank = np.empty(len(order), np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            column = pa.array(rank).take(encoded.indices)
        keys[name] = column
    if not keys:
        return table
    indices = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return table.take(indices)


def position_pairs(table: pa.Table) -> NDArray[np.int64]:
    """(offset, row) of every row, int64[n, 2], sorted."""
    pairs = np.empty((table.num_rows, 2), np.int64)
    pairs[:, 0] = table.column("offset").to_numpy()
    pairs[:, 1] = table.column("row").to_numpy()
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def positions_digest(pairs: NDArray[np.int64]) -> str:
    """BLAKE2b-256 over sorted (offset, row) pairs as little-endian int64."""
    return hashlib.blake2b(np.ascontiguousarray(pairs, "<i8").tobytes(), digest_size=32).hexdigest()


def contents_digest(table: pa.Table) -> str:
    """BLAKE2b-256 over the columns in order: name, which values are there, the values.

    Strings and bytes count as their lengths (int64) and then their bytes, everything else as little-endian
    fixed-width values. Compression, row groups, dictionaries and the writer's version do not enter.
    """
    hasher = hashlib.blake2b(digest_size=32)
    hasher.update(f"{table.num_rows}\n".encode())
    for field in table.schema:
        column = table.column(field.name)
        hasher.update(f"{field.name} {field.type}\n".encode())
        hasher.update(np.packbits(column.is_valid().to_numpy()).tobytes())
        for piece in _value_bytes(column.drop_null().combine_chunks()):
            hasher.update(piece)
    return hasher.hexdigest()


def _value_bytes(values: Any) -> list[Any]:
    if isinstance(values, pa.ChunkedArray):  # an empty column, or more than 2 GiB of strings
        return [piece for chunk in values.chunks for piece in _value_bytes(chunk)]
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        offsets = np.frombuffer(values.buffers()[1], np.int32)[
            values.offset : values.offset + len(values) + 1
        ]
        data = values.buffers()[2]
        content = b"" if data is None else memoryview(data)[int(offsets[0]) : int(offsets[-1])]
        return [np.diff(offsets).astype("<i8").tobytes(), content]
    if pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        return [
            memoryview(values.buffers()[1])[values.offset * width : (values.offset + len(values)) * width]
        ]
    if pa.types.is_boolean(kind):
        return [values.to_numpy(zero_copy_only=False).astype(np.uint8).tobytes()]
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.int64())
    numbers = values.to_numpy(zero_copy_only=False)
    return [numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()]
