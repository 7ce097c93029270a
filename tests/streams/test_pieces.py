"""Batches that unfold to many rows are taken in pieces, and nothing in the lake tells in which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stream_bench import FACTS, TOPIC, Bench, message_values, record_table

from pipeline import metrics as m
from pipeline.landing import PartitionLander
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow
from pipeline.records.ipc import write_stream
from pipeline.records.limits import DEFAULT_MAX_ROWS
from streams import pieces
from streams.batches import FetchedBatch

if TYPE_CHECKING:
    from collections.abc import Sequence


def batch_of(values: Sequence[bytes | None], offsets: Sequence[int] | None = None) -> FetchedBatch:
    at = np.array(range(len(values)) if offsets is None else offsets, np.int64)
    after = int(at[-1]) + 5 if len(at) else 9
    return FetchedBatch(TOPIC, 0, 1, 0, after, at, at * 1000, values, 0, 100)


def empty_rows(count: int) -> bytes:
    """An Arrow message of a few hundred bytes."""
    return write_stream(pa.table({"stream": pa.nulls(count)}), "zstd")


def lengths(values: Sequence[bytes | None], **more: Any) -> list[int]:
    return [len(piece) for piece in pieces.pieces_of(batch_of(values), DEFAULT_MAX_ROWS, **more)]


def test_ordinary_batches_stay_whole() -> None:
    assert lengths([b"{}"] * 8192) == [8192]
    assert lengths([encode_arrow(record_table())] * 100) == [100]
    assert lengths([]) == [0]
    (piece,) = pieces.pieces_of(whole := batch_of([b"{}", None]), DEFAULT_MAX_ROWS)
    assert piece is whole


def test_messages_that_unfold_are_cut_before_they_do() -> None:
    assert lengths([empty_rows(60_000)] * 4) == [1, 1, 1, 1]
    assert lengths([b"{}", empty_rows(8000), empty_rows(8000), b"{}", empty_rows(8000)]) == [4, 1]
    # What claims more than a message may have is refused unread, and what is no stream as well.
    assert lengths([empty_rows(DEFAULT_MAX_ROWS + 1)] * 50) == [50]
    assert lengths([empty_rows(60_000)[:30]] * 50) == [50]


@pytest.mark.parametrize("rows", [1, 3, 7, 50])
def test_pieces_join_and_hold_everything_once(rows: int) -> None:
    rng = np.random.default_rng(rows)
    values = [empty_rows(int(n)) if n else b"{}" for n in rng.integers(0, 9, 60)]
    offsets = np.cumsum(rng.integers(1, 4, 60)) + 2
    whole = batch_of(values, offsets.tolist())
    found = list(pieces.pieces_of(whole, DEFAULT_MAX_ROWS, rows))
    assert [value for piece in found for value in piece.values] == values
    assert np.concatenate([piece.offsets for piece in found]).tolist() == offsets.tolist()
    assert np.concatenate([piece.timestamps for piece in found]).tolist() == whole.timestamps.tolist()
    ends = [(piece.first_offset, piece.next_offset) for piece in found]
    assert [0, *(after for _, after in ends)] == [*(first for first, _ in ends), whole.next_offset]
    for piece in found:
        assert all(piece.first_offset <= offset < piece.next_offset for offset in piece.offsets)


def landed(bench: Bench) -> pa.Table:
    files = [pq.read_table(bench.lake.root / s.key) for s in bench.lake.snapshot().segments]
    return pa.concat_tables(files).sort_by([("offset", "ascending"), ("row", "ascending")])


def test_the_lake_is_the_same_however_a_batch_is_cut(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = record_table()
    values = [
        *message_values()[:20], encode_arrow(table.slice(20, 30)), b"{", encode_arrow(table.slice(50, 30)),
        None, encode_arrow(table.slice(80, 40)),
    ]  # fmt: skip
    calls: list[int] = []
    held: list[int] = []
    found: list[pa.Table] = []
    decode, accept = RecordDecoder.decode_messages, PartitionLander.accept

    def decoding(self: RecordDecoder, given: Sequence[bytes | None], **more: Any) -> Any:
        decoded = decode(self, given, **more)
        calls.append(decoded.records.num_rows + decoded.rejected.num_rows)
        return decoded

    def accepting(self: PartitionLander, *given: Any, **more: Any) -> int:
        rows = accept(self, *given, **more)
        held.append(self.held_records)
        return rows

    monkeypatch.setattr(RecordDecoder, "decode_messages", decoding)
    monkeypatch.setattr(PartitionLander, "accept", accepting)

    async def scene(bench: Bench) -> None:
        bench.worker.offer(bench.batch(0, len(values), values=values))
        await bench.until(lambda: bench.errors or bench.worker.lander.next_offset == len(values))
        await bench.worker.stop(land=True, roll_up=False, seconds=20)
        assert bench.errors == []
        assert bench.lake.head(FACTS.topic_id, 0) == len(values)
        # Each was landed with the checks before a put, and none inside of `accept`.
        assert bench.metrics.total(m.SEGMENTS) == len(bench.lake.snapshot().segments)
        found.append(landed(bench))

    play(scene, folder="whole")
    assert (calls, held) == ([122], [120])
    calls.clear()
    held.clear()
    monkeypatch.setattr(pieces, "ROWS", 35)
    play(scene, folder="cut")
    assert calls == [20, 31, 31, 40]
    # A full segment (40 rows) is landed before more is unfolded.
    assert held == [20, 50, 30, 70]
    assert found[0].equals(found[1])
