"""Records between decoding and landing: columns, and the faults found in their rows so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.records.limits import MAX_DETAIL_CHARACTERS, MAX_NAME_CHARACTERS, MAX_UNKNOWN_NAMES, OTHER_NAMES
from pipeline.records.schema import OPTIONAL_FIELDS, REJECTED_SCHEMA, TIMESTAMP, record_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.errors import Reason
    from pipeline.spaces import EmbeddingSpace


@dataclass(slots=True)
class Batch:
    """Columns of the contract for n candidate rows.

    Parameters
    ----------
    columns
        Arrow arrays by field name, already of the contract's type: all string, int64, uint64, float64 and bool
        fields. Absent fields are absent here.
    times
        int64 ``[n]``, microseconds since 1970.
    embedding
        int8 ``[n, d]``.
    offsets, rows
        int64 ``[n]`` and int32 ``[n]``: the rows' positions.
    append_times
        int64 ``[n]`` milliseconds, negative where unknown; None where no row has one.
    faults
        By row: the first reason found and its detail. Faulty rows keep some value in every column.
    """

    columns: dict[str, pa.Array]
    times: NDArray[np.int64]
    embedding: NDArray[np.int8]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    append_times: NDArray[np.int64] | None = None
    faults: dict[int, tuple[Reason, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets)

    def fault(self, row: int, reason: Reason, detail: str) -> None:
        """Note a fault; the first one of a row stays."""
        self.faults.setdefault(row, (reason, detail))

    def records(self, space: EmbeddingSpace, topic_id: str, topic: str, partition: int) -> pa.Table:
        """The rows without a fault, as `record_schema`."""
        n = len(self)
        columns = self.columns
        arrays = [
            pa.repeat(pa.scalar(topic_id), n),
            pa.repeat(pa.scalar(topic), n),
            pa.repeat(pa.scalar(partition, pa.int32()), n),
            pa.array(self.offsets),
            pa.array(self.rows),
            columns["request_id"],
            columns["account_id"],
            pa.array(self.times).cast(TIMESTAMP),
            pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(space.dimension), n, [None, pa.py_buffer(np.ascontiguousarray(self.embedding))]
            ),
        ]
        arrays += [
            columns[column.name] if column.name in columns else pa.nulls(n, column.type)
            for column in OPTIONAL_FIELDS
        ]
        if self.faults:
            keep = np.ones(n, np.bool_)
            keep[list(self.faults)] = False
            index = pa.array(np.flatnonzero(keep))
            arrays = [array.take(index) for array in arrays]
        return pa.Table.from_arrays(arrays, schema=record_schema(space))


@dataclass(slots=True)
class Rejections:
    """Rejected rows of one call, whatever they came from."""

    topic_id: str
    topic: str
    partition: int
    _rows: list[tuple[int, int, str, str, bytes, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, offset: int, row: int, reason: Reason, detail: str, raw: bytes, raw_bytes: int) -> None:
        """One rejected row; ``raw`` is already cut, ``raw_bytes`` is its length before."""
        if len(detail) > MAX_DETAIL_CHARACTERS:
            detail = detail[: MAX_DETAIL_CHARACTERS - 1] + "…"
        # A value quoted in the detail may hold half a surrogate pair, which no Arrow string can.
        detail = detail.encode("utf-8", "backslashreplace").decode()
        self._rows.append((offset, row, reason.value, detail, raw, raw_bytes))

    def table(self) -> pa.Table:
        """All of them in order of position, as `REJECTED_SCHEMA`."""
        self._rows.sort(key=lambda row: row[:2])
        n = len(self._rows)
        columns = list(zip(*self._rows, strict=True)) if n else [()] * 6
        values = [[self.topic_id] * n, [self.topic] * n, [self.partition] * n, *columns]
        arrays = [pa.array(value, column.type) for value, column in zip(values, REJECTED_SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=REJECTED_SCHEMA)


class UnknownFields:
    """Counts values of fields that are not part of the contract, with a bound on distinct names.

    Names come from outside and may be anything, so they are cut, and past the first 64 they share one count.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, names: Sequence[str], count: int = 1) -> None:
        """Count one value (or ``count`` values) of each name."""
        for name in names:
            key = name[:MAX_NAME_CHARACTERS].encode("utf-8", "backslashreplace").decode()
            if key not in self.counts and len(self.counts) >= MAX_UNKNOWN_NAMES:
                key = OTHER_NAMES
            self.counts[key] = self.counts.get(key, 0) + count
