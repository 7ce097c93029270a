"""Profiles as Arrow tables: a light one for every row, a heavy one for the rows with enough records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import LakeError, UsageError
from pipeline.kernels.distinct import PADDING
from pipeline.profiles.keys import group_rows, string_array
from pipeline.profiles.merge import regroup
from pipeline.profiles.schema import (
    ASKABLE_FIELDS,
    CELL_OFFSETS,
    CELLS,
    DISTINCT_FIELDS,
    FEATURES,
    LIGHT_FIELDS,
    MOMENT_CELLS,
    NARROW_FIELDS,
    PROFILE_BYTES_KEY,
    PROFILES_SCHEMA,
    SKETCH,
    WINDOWS_SCHEMA,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.parameters import Parameters
    from pipeline.profiles.table import Profiles

_ROWS = 65_536
"""Rows of one chunk: a binary column's offsets are int32, so a chunk must stay below 2 GiB."""


def windows_table(profiles: Profiles) -> pa.Table:
    """Light and askable parts, sparse lists, sorted by key."""
    batches = [
        _windows_batch(profiles.take(slice(low, low + _ROWS))) for low in range(0, len(profiles), _ROWS)
    ]
    return pa.Table.from_batches(batches, schema=WINDOWS_SCHEMA)


def _windows_batch(block: Profiles) -> pa.RecordBatch:
    columns: list[pa.Array] = [
        *_keys(block),
        *(pa.array(block.light[:, i]) for i in range(len(LIGHT_FIELDS))),
    ]
    cells = np.ascontiguousarray(block.cells)
    # Flat positions of a boolean array are found several times faster than those of an integer one.
    index = np.flatnonzero((cells != 0).reshape(-1))
    row, cell = np.divmod(index, CELLS)
    counts = cells.reshape(-1)[index]
    field_of_cell = np.repeat(np.arange(len(ASKABLE_FIELDS)), list(ASKABLE_FIELDS.values()))
    field = field_of_cell[cell]
    for number, name in enumerate(ASKABLE_FIELDS):
        mine = field == number
        offsets = np.zeros(len(block) + 1, dtype=np.int32)
        np.cumsum(np.bincount(row[mine], minlength=len(block)), out=offsets[1:])
        pairs = pa.StructArray.from_arrays(
            [pa.array((cell[mine] - CELL_OFFSETS[name]).astype(np.int32)), pa.array(counts[mine])],
            fields=list(WINDOWS_SCHEMA.field(name).type.value_type),
        )
        columns.append(
            pa.ListArray.from_arrays(pa.array(offsets), pairs, type=WINDOWS_SCHEMA.field(name).type)
        )
    return pa.RecordBatch.from_arrays(columns, schema=WINDOWS_SCHEMA)


def profiles_table(profiles: Profiles) -> pa.Table:
    """Heavy parts of all rows as blobs, sorted by key.

    The schema metadata keys ``distillwatch.embedding_sum`` and ``distillwatch.kernel_mean`` say ``int32``, or
    ``int64`` if one value of the table needs it.
    """
    kinds = {}
    for name in NARROW_FIELDS:
        values = getattr(profiles, name)
        wide = values.size and (values.min() < -(2**31) or values.max() >= 2**31)
        kinds[name] = "int64" if wide else "int32"
    schema = PROFILES_SCHEMA.with_metadata(
        {PROFILE_BYTES_KEY + name.encode(): kind.encode() for name, kind in kinds.items()}
    )
    batches = []
    for low in range(0, len(profiles), _ROWS):
        block = profiles.take(slice(low, low + _ROWS))
        columns = [
            *_keys(block),
            pa.array(block.records),
            _blobs(block.embedding_sum, kinds["embedding_sum"]),
            _blobs(block.moment, "int64"),
            _blobs(block.kernel_mean, kinds["kernel_mean"]),
            *(_sketches(block.hashes[:, number]) for number in range(len(DISTINCT_FIELDS))),
        ]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def _keys(block: Profiles) -> tuple[pa.Array, pa.Array]:
    return string_array(block.account_id), pa.array(block.window_start).view(pa.timestamp("us"))


def _blobs(values: npt.NDArray[np.int64], kind: str) -> pa.Array:
    """Each row of a matrix as one little-endian blob."""
    data = np.ascontiguousarray(values.astype(np.dtype(kind).newbyteorder("<"), copy=False))
    width = data.shape[1] * data.dtype.itemsize
    offsets = np.arange(len(data) + 1, dtype=np.int64) * width
    return _binary(offsets, data)


def _sketches(values: npt.NDArray[np.uint64]) -> pa.Array:
    """Each row of sketches as one blob, without padding."""
    real = values != PADDING
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(real.sum(axis=1) * 8, out=offsets[1:])
    return _binary(offsets, values[real].astype("<u8", copy=False))


def _binary(offsets: npt.NDArray[np.int64], data: npt.NDArray[Any]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def from_tables(
    parameters: Parameters, windows: pa.Table, profiles: pa.Table, *, incomplete: str = "error"
) -> Profiles:
    """Profiles from landed tables: rows of equal key add up, so tables of several files may be concatenated.

    Parameters
    ----------
    parameters
        What the tables were made with.
    windows
        `WINDOWS_SCHEMA`, any order.
    profiles
        `PROFILES_SCHEMA`, any order. int32 and int64 blobs may be mixed: their lengths tell them apart.
    incomplete
        What to do with a row of ``windows`` whose heavy part was not landed, because it had few records:
        ``"error"``, or ``"drop"`` it, for a caller that computes those from records.

    Raises
    ------
    UsageError
        A row of ``windows`` has no heavy part, and ``incomplete`` is ``"error"``.
    LakeError
        A heavy row has no light one, or a blob has another length than these parameters give.
    """
    heavy_records = integers(profiles, "records")
    has_heavy = _key_match(windows, integers(windows, "records"), profiles, heavy_records)
    missing = np.flatnonzero(~has_heavy)
    if len(missing):
        if incomplete != "drop":
            row = int(missing[0])
            msg = (
                f"{len(missing)} of {len(windows)} rows of windows have no heavy part (the first is account "
                f"{windows.column('account_id')[row].as_py()!r} at {windows.column('window_start')[row].as_py()}); "
                "compute those from records, and pass incomplete='drop' here"
            )
            raise UsageError(msg)
        windows = windows.filter(pa.array(has_heavy))
    if len(windows) != len(profiles):
        msg = f"{len(profiles)} heavy rows stand against {len(windows)} light ones; pass both tables of the same files"
        raise LakeError(msg)
    if len(windows) == 0:
        return _class().empty(parameters)
    windows = windows.sort_by([(name, "ascending") for name in ("account_id", "window_start", "records")])
    profiles = profiles.sort_by([(name, "ascending") for name in ("account_id", "window_start", "records")])
    rows = _class()(
        parameters=parameters,
        account_id=_objects(windows.column("account_id")),
        window_start=times(windows),
        light=np.stack([integers(windows, name) for name in LIGHT_FIELDS], axis=1),
        cells=_dense_cells(windows),
        embedding_sum=matrix(profiles, "embedding_sum", parameters.space.dimension),
        moment=matrix(profiles, "moment", MOMENT_CELLS),
        kernel_mean=matrix(profiles, "kernel_mean", FEATURES),
        hashes=np.stack([_padded(profiles.column(name)) for name in DISTINCT_FIELDS], axis=1),
    )
    grouping = group_rows(string_array(rows.account_id), rows.window_start)
    return rows if len(grouping.starts) == len(rows) else regroup(rows, grouping)


def _class() -> type[Profiles]:
    # The table module imports this one.
    from pipeline.profiles.table import Profiles

    return Profiles


def _key_match(
    windows: pa.Table,
    light_records: npt.NDArray[np.int64],
    profiles: pa.Table,
    heavy_records: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Which rows of windows have a heavy row of the same account, window and count.

    The count belongs to the match: one key may have a heavy row from one file and a thin one from another.
    """
    both = pa.chunked_array([*strings(windows.column("account_id")), *strings(profiles.column("account_id"))])
    keys = group_rows(both, np.concatenate([times(windows), times(profiles)])).group
    records = np.concatenate([light_records, heavy_records])
    pairs = np.stack([keys, records], axis=1) if len(keys) else np.empty((0, 2), dtype=np.int64)
    _, number = np.unique(pairs, axis=0, return_inverse=True)
    number = number.reshape(-1)
    return np.isin(number[: len(windows)], number[len(windows) :])


def strings(column: pa.ChunkedArray) -> list[pa.Array]:
    """Chunks of a column of account ids as plain strings, one at least."""
    return [chunk.cast(pa.string()) for chunk in column.chunks] or [pa.array([], pa.string())]


def _objects(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    out = np.empty(len(column), dtype=object)
    out[:] = column.cast(pa.string()).to_pylist()
    return out


def integers(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """A column of whole numbers, int64[n]."""
    return np.asarray(table.column(name).to_numpy(), dtype=np.int64)


def times(table: pa.Table) -> npt.NDArray[np.int64]:
    """``window_start`` in microseconds since 1970, int64[n]."""
    return np.asarray(table.column("window_start").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy())


def sparse_cells(
    windows: pa.Table,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row, cell (of all askable fields side by side) and count of every entry of `WINDOWS_SCHEMA`'s lists, int64 each."""
    rows, cells, counts = [], [], []
    for name in ASKABLE_FIELDS:
        column = windows.column(name).combine_chunks()
        rows.append(pc.list_parent_indices(column).to_numpy(zero_copy_only=False))
        bucket, count = (part.to_numpy(zero_copy_only=False) for part in column.flatten().flatten())
        cells.append(bucket.astype(np.int64) + CELL_OFFSETS[name])
        counts.append(count)
    return (
        np.concatenate(rows, dtype=np.int64),
        np.concatenate(cells),
        np.concatenate(counts, dtype=np.int64),
    )


def _dense_cells(windows: pa.Table) -> npt.NDArray[np.int64]:
    out = np.zeros((len(windows), CELLS), dtype=np.int64)
    row, cell, count = sparse_cells(windows)
    out[row, cell] = count
    return out


def blobs_of(column: pa.ChunkedArray) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Offsets and bytes of each chunk of a binary column."""
    out = []
    for piece in column.cast(pa.large_binary()).chunks:
        buffers = piece.buffers()
        offsets = np.frombuffer(buffers[1], dtype=np.int64)[piece.offset : piece.offset + len(piece) + 1]
        data = np.frombuffer(buffers[2], dtype=np.uint8) if buffers[2] is not None else np.empty(0, np.uint8)
        out.append((offsets, data))
    return out


def matrix(table: pa.Table, name: str, width: int) -> npt.NDArray[np.int64]:
    """Blobs of a column as int64[n, width]; each blob is all int32 or all int64."""
    out = np.empty((len(table), width), dtype=np.int64)
    low = 0
    for offsets, data in blobs_of(table.column(name)):
        sizes = np.diff(offsets)
        known = (sizes == 4 * width) | (sizes == 8 * width)
        if not known.all():
            row = low + int(np.flatnonzero(~known)[0])
            msg = (
                f"{name} of account {table.column('account_id')[row].as_py()!r} has {int(sizes[~known][0])} bytes; "
                f"{width} numbers of 4 or 8 bytes are expected: the file belongs to another embedding space"
            )
            raise LakeError(msg)
        for item, kind in ((4, "<i4"), (8, "<i8")):
            rows = np.flatnonzero(sizes == item * width)
            if len(rows) == 0:
                continue
            if len(rows) == len(sizes):
                block = data[offsets[0] : offsets[-1]]
            else:
                block = np.concatenate([data[offsets[row] : offsets[row + 1]] for row in rows.tolist()])
            out[low + rows] = block.view(kind).reshape(len(rows), width)
        low += len(sizes)
    return out


def sketch_values(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Row and hash of every hash in a column of sketches, row by row: int64 and uint64."""
    sizes, values = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for offsets, data in blobs_of(column):
        sizes.append(np.diff(offsets) // 8)
        values.append(data[offsets[0] : offsets[-1]].view("<u8"))
    each = np.concatenate(sizes)
    return np.repeat(np.arange(len(each)), each), np.concatenate(values)


def _padded(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Sketches of a column as uint64[n, 64]."""
    out = np.full((len(column), SKETCH), PADDING, dtype=np.uint64)
    row, values = sketch_values(column)
    first = np.searchsorted(row, np.arange(len(column)))
    out[row, np.arange(len(values)) - first[row]] = values
    return out
