"""JSON, Arrow messages, Parquet files and Arrow rows of the same records decode to the same columns, bit for bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow, encode_json
from pipeline.records.files import decode_file, open_log
from pipeline.records.pseudonyms import Pseudonyms
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPACE = EmbeddingSpace("toy", 16)
POSITION = ["topic_id", "topic", "partition", "offset", "row"]


def all_ways(rows: pa.Table, tmp_path: Path, decoder: RecordDecoder) -> dict[str, pa.Table]:
    at = {"topic_id": "T", "topic": "t", "partition": 0}
    messages = encode_json(rows)
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(messages))
    pq.write_table(rows, tmp_path / "log.parquet", row_group_size=7)

    def from_file(name: str) -> pa.Table:
        return pa.concat_tables(
            [d.records for _, _, d in decode_file(decoder, open_log(tmp_path / name), 0, 11)]
        )

    return {
        name: result.drop(POSITION).combine_chunks()
        for name, result in {
            "json": decoder.decode_messages(messages, offsets=np.arange(len(rows)), **at).records,
            "arrow": decoder.decode_messages([encode_arrow(rows)], offsets=np.arange(1), **at).records,
            "zstd": decoder.decode_messages(
                [encode_arrow(rows, compression="zstd")], offsets=np.arange(1), **at
            ).records,
            "rows": decoder.decode_rows(rows, topic_id="T", topic="t", first_offset=0).records,
            "jsonl": from_file("log.jsonl"),
            "parquet": from_file("log.parquet"),
        }.items()
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("secret", [None, b"s" * 32])
def test_every_field_of_every_way(
    seed: int, secret: bytes | None, table: Callable[..., Any], tmp_path: Path
) -> None:
    decoder = RecordDecoder(SPACE, pseudonyms=None if secret is None else Pseudonyms(secret))
    rows = table(60, seed)
    ways = all_ways(rows, tmp_path, decoder)
    first = ways.pop("json")
    assert len(first) == 60
    for name, other in ways.items():
        assert other.equals(first), name
    if secret is None:
        for name in set(rows.column_names) - {"prompt_hash", "template_hash", "system_prompt_hash"}:
            assert first[name].to_pylist() == rows[name].to_pylist(), name


@pytest.mark.parametrize("inner", [pa.float16(), pa.float32(), pa.float64()])
def test_floats_give_the_same_q_in_every_container(
    inner: pa.DataType, table: Callable[..., Any], tmp_path: Path
) -> None:
    rows = table(40)
    x = np.random.default_rng(9).normal(size=(40, 16))
    values = pa.array(x.ravel()).cast(inner, safe=False)
    kept = values.cast(pa.float64()).to_numpy().reshape(40, 16)
    lists = {
        "list": pa.ListArray.from_arrays(pa.array(np.arange(41) * 16, pa.int32()), values),
        "large": pa.LargeListArray.from_arrays(pa.array(np.arange(41) * 16, pa.int64()), values),
        "fixed": pa.FixedSizeListArray.from_arrays(values, 16),
    }
    decoder = RecordDecoder(SPACE)
    place = rows.column_names.index("embedding")
    want = None
    for name, column in lists.items():
        ways = all_ways(rows.set_column(place, "embedding", column), tmp_path, decoder)
        for way, result in ways.items():
            want = result if want is None else want
            assert result.equals(want), (name, way)
    # And from JSON text that was written from the doubles themselves.
    text = [
        json.dumps({**json.loads(m), "embedding": v.tolist()}).encode()
        for m, v in zip(encode_json(rows), kept, strict=True)
    ]
    again = decoder.decode_messages(text, topic_id="T", topic="t", partition=0, offsets=np.arange(40)).records
    assert again.drop(POSITION).equals(want)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("ns"), 1_767_225_600_123_456_999),
        (pa.timestamp("ns", "Asia/Tokyo"), 1_767_225_600_123_456_001),
        (pa.timestamp("us"), 1_767_225_600_123_456),
        (pa.timestamp("us", "UTC"), 1_767_225_600_123_456),
        (pa.float64(), 1_767_225_600.123456),
        (pa.string(), "2026-01-01T00:00:00.123456999Z"),
        (pa.large_string(), "2026-01-01T02:00:00.1234569+02:00"),
    ],
)
def test_times_of_every_type_are_floored_alike(
    kind: pa.DataType, value: Any, table: Callable[..., Any], tmp_path: Path
) -> None:
    rows = table(2)
    place = rows.column_names.index("event_time")
    if pa.types.is_timestamp(kind):
        column = pa.array([value, value], pa.int64()).cast(kind)
    else:
        column = pa.array([value, value], kind)
    for way, result in all_ways(
        rows.set_column(place, "event_time", column), tmp_path, RecordDecoder(SPACE)
    ).items():
        assert result["event_time"].cast(pa.int64()).to_pylist() == [1_767_225_600_123_456] * 2, way


@pytest.mark.parametrize(("unit", "factor"), [("s", 10**6), ("ms", 10**3)])
def test_coarse_times(unit: str, factor: int, table: Callable[..., Any], tmp_path: Path) -> None:
    rows = table(2)
    place = rows.column_names.index("event_time")
    column = pa.array([1_700_000_001, 5], pa.int64()).cast(pa.timestamp(unit))
    for way, result in all_ways(
        rows.set_column(place, "event_time", column), tmp_path, RecordDecoder(SPACE)
    ).items():
        assert result["event_time"].cast(pa.int64()).to_pylist() == [1_700_000_001 * factor, 5 * factor], way


def test_a_far_coarse_time_is_rejected_not_wrapped(table: Callable[..., Any]) -> None:
    rows = table(3)
    place = rows.column_names.index("event_time")
    column = pa.array([2**62, -(2**62), 1_767_225_600], pa.int64()).cast(pa.timestamp("s"))
    decoded = RecordDecoder(SPACE).decode_rows(
        rows.set_column(place, "event_time", column), topic_id="T", topic="t", first_offset=0
    )
    assert decoded.rejected["reason"].to_pylist() == ["time_beyond_bound", "time_before_1970"]
    assert len(decoded.records) == 1
