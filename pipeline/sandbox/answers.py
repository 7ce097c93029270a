"""A query's rows as an Arrow stream in frames, cut where a limit says."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.sandbox import frames
from pipeline.sandbox.values import distinct_names, shown_as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BATCH_ROWS = 2048
TYPES = b"distillwatch.types"


class _Sink(io.RawIOBase):
    """A file whose every write is a frame; knows how much went through."""

    def __init__(self, place: int) -> None:
        self._place = place
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        frames.write_frame(self._place, frames.BATCHES, view)
        self.written += len(view)
        return len(view)


def to_frames(
    cursor: Any, request: Mapping[str, Any], parameters: Mapping[str, object], answers: int
) -> None:
    """Run the statement and send what it gives, then a frame that ends it."""
    relation = (
        cursor.sql(request["sql"], params=dict(parameters)) if parameters else cursor.sql(request["sql"])
    )
    if relation is None:
        # Only with the gate off: a statement without rows.
        frames.write_json(answers, frames.END, {"rows": 0, "truncated": False})
        return
    types = [str(kind) for kind in relation.types]
    names, texts = relation.columns, shown_as_text(types)
    if any(texts):
        columns = (f"#{n}::varchar" if text else f"#{n}" for n, text in enumerate(texts, 1))
        relation = relation.project(", ".join(columns))
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    schema = _distinct(reader.schema, names).with_metadata({TYPES: json.dumps(types).encode()})
    sink, rows, truncated = _Sink(answers), 0, False
    with pa.ipc.new_stream(sink, schema) as stream:
        for batch in _within(reader, request["rows"]):
            if batch is None:
                truncated = True
                break
            fitting = _fitting(batch, request["bytes"] - sink.written)
            truncated = fitting < batch.num_rows
            stream.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema).slice(0, fitting))
            rows += fitting
            if truncated:
                break
    frames.write_json(answers, frames.END, {"rows": rows, "truncated": truncated})


def _distinct(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """A query may name two columns alike; nothing that reads the answer by name would survive it."""
    return pa.schema([each.with_name(name) for each, name in zip(schema, distinct_names(names), strict=True)])


def _within(reader: Any, most: int | None) -> Iterator[pa.RecordBatch | None]:
    """Batches up to a number of rows; None where there would have been more."""
    left = most
    for batch in reader:
        if left is None:
            yield batch
            continue
        if batch.num_rows > left:
            if left:
                yield batch.slice(0, left)
            yield None
            return
        yield batch
        left -= batch.num_rows


def _fitting(batch: pa.RecordBatch, room: int) -> int:
    """How many of its rows fit into so many bytes."""
    size = batch.nbytes
    if size <= room:
        return int(batch.num_rows)
    count = int(batch.num_rows)
    while count and batch.slice(0, count).nbytes > room:
        count //= 2
    return count
