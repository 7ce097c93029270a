"""Arrow messages: bad rows go one by one, broken and hostile messages as a whole, and nothing is unpacked first."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import Reason
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow
from pipeline.records.ipc import write_stream
from pipeline.records.ipc_headers import claimed_rows
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

SPACE = EmbeddingSpace("toy", 16)


def replaced(table: pa.Table, name: str, column: Any) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, column)


def changed(table: pa.Table, name: str, row: int, value: Any, kind: pa.DataType | None = None) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    return replaced(table, name, pa.array(values, kind or table[name].type))


ROWS: dict[str, tuple[Callable[[pa.Table], pa.Table], Reason, str]] = {
    "null account": (
        lambda t: changed(t, "account_id", 1, None),
        Reason.MISSING_FIELD,
        "account_id is missing or null",
    ),
    "empty account": (lambda t: changed(t, "account_id", 1, ""), Reason.EMPTY_ID, "account_id is ''"),
    "null time": (lambda t: changed(t, "event_time", 1, None), Reason.MISSING_FIELD, "event_time is null"),
    "time 1969": (
        lambda t: replaced(t, "event_time", pa.array([1, -1, 2])),
        Reason.TIME_BEFORE_1970,
        "before 1970",
    ),
    "time text": (
        lambda t: replaced(
            t,
            "event_time",
            pa.array(["2026-01-01T00:00:00Z", "x", "2026-01-01T00:00:01"]),
        ),
        Reason.BAD_TIME,
        "event_time is 'x'; send RFC 3339",
    ),
    "milliseconds": (
        lambda t: changed(replaced(t, "event_time", pa.array([1, 2, 3])), "event_time", 1, 1_767_225_600_000),
        Reason.TIME_BEYOND_BOUND,
        "not milliseconds",
    ),
    "null embedding": (lambda t: changed(t, "embedding", 1, None), Reason.NO_EMBEDDING, "embedding is null"),
    "zero embedding": (
        lambda t: changed(t, "embedding", 1, bytes(16)),
        Reason.ZERO_VECTOR,
        "all int8 values are 0",
    ),
    "saturated": (
        lambda t: changed(t, "embedding", 1, b"\x7f" * 16),
        Reason.NOT_ON_GRID,
        "or send the floats",
    ),
    "short bytes": (
        lambda t: changed(t, "embedding", 1, b"abc", pa.binary()),
        Reason.WRONG_DIMENSION,
        "3 int8 values",
    ),
    "short list": (
        lambda t: changed(with_floats(t, pa.list_(pa.float32())), "embedding", 1, [1.0]),
        Reason.WRONG_DIMENSION,
        "embedding has 1 values",
    ),
    "NaN": (
        lambda t: changed(with_floats(t, pa.list_(pa.float64())), "embedding", 1, [float("nan")] * 16),
        Reason.NOT_FINITE,
        "is nan",
    ),
    "null in list": (
        lambda t: changed(with_floats(t, pa.list_(pa.float32(), 16)), "embedding", 1, [None] * 16),
        Reason.BAD_EMBEDDING,
        "holds a null",
    ),
    "other model": (
        lambda t: changed(t, "embedding_model", 1, "e5"),
        Reason.OTHER_SPACE,
        "embedding_model is 'e5'",
    ),
    "negative": (lambda t: changed(t, "input_tokens", 1, -1), Reason.OUT_OF_RANGE, "input_tokens is -1"),
    "beyond int64": (
        lambda t: changed(t, "input_tokens", 1, 2**63, pa.uint64()),
        Reason.OUT_OF_RANGE,
        "9223372036854775808",
    ),
    "fraction": (
        lambda t: changed(t, "input_tokens", 1, 1.5, pa.float64()),
        Reason.WRONG_TYPE,
        "1.5; send a whole",
    ),
    "infinite": (
        lambda t: changed(t, "temperature", 1, float("inf")),
        Reason.OUT_OF_RANGE,
        "temperature is inf",
    ),
    "hash": (
        lambda t: replaced(t, "prompt_hash", pa.array(["1", "zz", "0x3"])),
        Reason.WRONG_TYPE,
        "'zz'.*0x",
    ),
    "negative hash": (
        lambda t: replaced(t, "prompt_hash", pa.array([1, -1, 3])),
        Reason.OUT_OF_RANGE,
        "unsigned",
    ),
    "not UTF-8": (
        lambda t: replaced(t, "account_id", pa.array([b"a", b"\xff", b"c"]).view(pa.string())),
        Reason.WRONG_ENCODING,
        "account_id is not UTF-8 at byte 0",
    ),
}


def with_floats(table: pa.Table, kind: pa.DataType) -> pa.Table:
    values = [[float(v) for v in np.frombuffer(q, np.int8)] for q in table["embedding"].to_pylist()]
    return replaced(table, "embedding", pa.array(values, kind))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("source", ["message", "rows"])
def test_one_bad_row_among_good(
    name: str,
    source: str,
    table: Callable[..., pa.Table],
    message: Callable[..., bytes],
    decode: Callable[..., Any],
) -> None:
    change, reason, pattern = ROWS[name]
    # Every value is there, so that a change of type is the only one.
    rows = change(table(40).filter(table(40)["input_tokens"].is_valid()).slice(0, 3))
    if source == "rows":
        decoded = RecordDecoder(SPACE).decode_rows(rows, topic_id="T", topic="log", first_offset=7)
        assert decoded.records["offset"].to_pylist() == [7, 9]
        place = (8, 0)
    else:
        decoded = decode([message(1), encode_arrow(rows), message(2)])
        assert decoded.records["offset"].to_pylist() == [100, 101, 101, 102]
        assert decoded.records["row"].to_pylist() == [0, 0, 2, 0]
        place = (101, 1)
    (rejected,) = decoded.rejected.to_pylist()
    assert rejected["reason"] == reason
    assert re.search(pattern, rejected["detail"]), rejected["detail"]
    assert (rejected["offset"], rejected["row"]) == place
    assert rejected["raw_bytes"] == len(rejected["raw"])
    with pa.ipc.open_stream(rejected["raw"]) as reader:
        kept = reader.read_all()
    assert len(kept) == 1
    assert kept["request_id"].to_pylist() == rows["request_id"].slice(1, 1).to_pylist()


def test_a_kept_row_can_be_sent_again_once_it_is_good(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    rows = changed(table(3), "account_id", 1, "")
    raw = decode([encode_arrow(rows)]).rejected["raw"][0].as_py()
    with pa.ipc.open_stream(raw) as reader:
        mended = changed(reader.read_all(), "account_id", 0, "account")
    again = decode([encode_arrow(mended)])
    assert again.records["request_id"].to_pylist() == rows["request_id"].slice(1, 1).to_pylist()


SCHEMAS: dict[str, tuple[Callable[[pa.Table], pa.Table], Reason, str]] = {
    "account numbers": (
        lambda t: replaced(t, "account_id", pa.array([1, 2, 3])),
        Reason.ARROW_SCHEMA,
        "account_id has type int64; send string",
    ),
    "tokens text": (
        lambda t: replaced(t, "input_tokens", pa.array(["1", "2", "3"])),
        Reason.ARROW_SCHEMA,
        "input_tokens has type string; send int64",
    ),
    "a date": (
        lambda t: replaced(t, "event_time", pa.array([1, 2, 3], pa.date32())),
        Reason.ARROW_SCHEMA,
        "event_time has type date32",
    ),
    "a duration": (
        lambda t: replaced(t, "event_time", pa.array([1, 2, 3], pa.duration("s"))),
        Reason.ARROW_SCHEMA,
        "duration",
    ),
    "booleans as numbers": (
        lambda t: replaced(t, "stream", pa.array([0, 1, 1])),
        Reason.ARROW_SCHEMA,
        "stream has type int64; send bool",
    ),
    "decimals": (
        lambda t: replaced(t, "temperature", pa.array([1, 2, 3]).cast(pa.decimal128(20))),
        Reason.ARROW_SCHEMA,
        "decimal128",
    ),
    "integer lists": (
        lambda t: with_floats(t, pa.list_(pa.int8())),
        Reason.ARROW_SCHEMA,
        "embedding has type list<.*fixed_size_binary",
    ),
    "nested lists": (
        lambda t: replaced(t, "embedding", pa.array([[[1.0]]] * 3)),
        Reason.ARROW_SCHEMA,
        "embedding has type list<",
    ),
    "other width": (
        lambda t: replaced(t, "embedding", pa.array([bytes(8)] * 3, pa.binary(8))),
        Reason.WRONG_DIMENSION,
        "8 int8 values",
    ),
    "other list width": (
        lambda t: replaced(t, "embedding", pa.array([[1.0] * 8] * 3, pa.list_(pa.float32(), 8))),
        Reason.WRONG_DIMENSION,
        "8 values",
    ),
    "run-end encoded": (
        lambda t: replaced(t, "model", pa.compute.run_end_encode(pa.array(["a", "a", "b"]))),
        Reason.ARROW_SCHEMA,
        "model has type run_end_encoded",
    ),
    "dictionary of numbers": (
        lambda t: replaced(t, "input_tokens", pa.array([1, 2, 3]).dictionary_encode()),
        Reason.ARROW_SCHEMA,
        "dictionary",
    ),
    "twice": (
        lambda t: t.append_column("model", pa.array(["x"] * 3)),
        Reason.ARROW_SCHEMA,
        "model occurs 2 times",
    ),
    "none of ours": (lambda t: pa.table({"a": [1], "b": [2]}), Reason.ARROW_SCHEMA, "no column .*'a', 'b'"),
    "no rows": (lambda t: t.slice(0, 0), Reason.NOT_ARROW, "holds no records"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_wrong_schema_is_one_rejected_row(
    name: str, table: Callable[..., pa.Table], message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    change, reason, pattern = SCHEMAS[name]
    value = write_stream(change(table(3)))
    decoded = decode([message(1), value, message(2)])
    assert decoded.records["offset"].to_pylist() == [100, 102]
    (rejected,) = decoded.rejected.to_pylist()
    assert (rejected["reason"], rejected["offset"], rejected["row"]) == (reason, 101, 0)
    assert re.search(pattern, rejected["detail"]), rejected["detail"]
    assert rejected["raw"] == value


def test_harmless_types_are_taken(table: Callable[..., pa.Table], decode: Callable[..., Any]) -> None:
    rows = table(20)
    want = decode([encode_arrow(rows)]).records
    other = rows
    for name in ("account_id", "model", "user_agent"):
        for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
            assert decode([encode_arrow(replaced(rows, name, rows[name].cast(kind)))]).records.equals(want), (
                name,
                kind,
            )
    for name, kind in {
        "input_tokens": pa.int16(),
        "output_tokens": pa.float64(),
        "asn": pa.uint32(),
        "choice_count": pa.uint64(),
        "latency_ms": pa.int32(),
        "embedding": pa.large_binary(),
        "event_time": pa.timestamp("ns", "Europe/Berlin"),
    }.items():
        other = replaced(other, name, rows[name].cast(kind))
    other = replaced(other, "country", pa.nulls(20))
    assert decode([encode_arrow(other)]).records.drop("country").equals(want.drop("country"))


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_compression_changes_nothing(
    compression: str | None, table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    rows = table(300)
    assert decode([encode_arrow(rows, compression=compression)]).records.equals(
        decode([encode_arrow(rows)]).records
    )


def test_text_beside_a_missing_embedding(table: Callable[..., pa.Table], decode: Callable[..., Any]) -> None:
    rows = table(2).drop("embedding").append_column("prompt", pa.array(["secret words", "more"]))
    decoded = decode([write_stream(rows)])
    assert decoded.rejected["reason"].to_pylist() == [Reason.TEXT_WITHOUT_EMBEDDING] * 2
    assert "distillwatch embed" in decoded.rejected["detail"][0].as_py()
    assert all(b"secret" not in raw for raw in decoded.rejected["raw"].to_pylist())


def test_unknown_columns_are_counted_and_position_columns_are_not(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    rows = table(5).append_column("shoe", pa.array([1] * 5)).append_column("offset", pa.array([1] * 5))
    decoded = decode([write_stream(rows)])
    assert (len(decoded.records), decoded.unknown_fields) == (5, {"shoe": 5})


def rejected(decode: Callable[..., Any], value: bytes, **limits: int) -> tuple[Reason, str]:
    decoder = RecordDecoder(SPACE, max_message_bytes=1 << 27, **limits)
    before = pa.total_allocated_bytes()
    decoded = decode([value], decoder)
    assert pa.total_allocated_bytes() - before < 1 << 24
    (row,) = decoded.rejected.to_pylist()
    assert len(decoded.records) == 0
    return Reason(row["reason"]), row["detail"]


def patched(value: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert value.count(old) == 1
    return value.replace(old, new)


def test_a_zip_bomb_is_not_opened(table: Callable[..., pa.Table], decode: Callable[..., Any]) -> None:
    rows = replaced(table(1), "user_agent", pa.array(["x" * 100_000_000]))
    value = encode_arrow(rows, compression="zstd")
    assert len(value) < 100_000
    reason, detail = rejected(decode, value)
    assert reason is Reason.ARROW_BOMB
    assert "claims 100000000" in detail


def test_many_bombs_below_the_limit_each_add_up(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    rows = table(1)
    for name in ("user_agent", "model", "language"):
        rows = replaced(rows, name, pa.array(["x" * 30_000_000]))
    reason, detail = rejected(decode, encode_arrow(rows, compression="lz4"))
    assert reason is Reason.ARROW_BOMB
    assert "uncompressed bytes" in detail


def test_a_false_uncompressed_length_is_refused(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    value = encode_arrow(replaced(table(1), "user_agent", pa.array(["x" * 4321])), compression="zstd")
    magic = b"\x28\xb5\x2f\xfd"
    length = struct.pack("<q", 4321) + magic
    for claim in (2**62, -2, 2**40):
        reason, _ = rejected(decode, patched(value, length, struct.pack("<q", claim) + magic))
        assert reason is Reason.ARROW_BOMB
    reason, _ = rejected(decode, patched(value, length, struct.pack("<q", 4000) + magic))
    assert reason is Reason.NOT_ARROW


@pytest.mark.parametrize("count", [65_537, 2**31, 2**62])
def test_rows_without_bytes_are_counted_before_they_are_believed(
    count: int, table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    # A column of nulls has no buffers: only a number in the header says how many there are.
    value = write_stream(pa.table({"account_id": pa.nulls(12_345), "stranger": pa.nulls(12_345)}))
    forged = value.replace(struct.pack("<q", 12_345), struct.pack("<q", count))
    assert forged != value
    reason, detail = rejected(decode, forged)
    assert reason is Reason.ARROW_BOMB
    assert "at most 65536" in detail
    assert rejected(decode, write_stream(table(11)), max_rows=10)[0] is Reason.ARROW_BOMB


def test_a_dictionary_that_unfolds_is_refused(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    n = 5000
    words = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int8()), pa.array(["x" * 100_000]))
    reason, detail = rejected(decode, encode_arrow(replaced(table(n), "user_agent", words)))
    assert reason is Reason.ARROW_BOMB
    assert "unfolds to 500000000 bytes" in detail


def test_views_that_share_a_text_are_refused(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    n, text = 2000, b"x" * 100_000
    view = struct.pack("<i4sii", len(text), text[:4], 0, 0) * n
    column = pa.Array.from_buffers(pa.string_view(), n, [None, pa.py_buffer(view), pa.py_buffer(text)])
    reason, _ = rejected(decode, encode_arrow(replaced(table(n), "user_agent", column)))
    assert reason is Reason.ARROW_BOMB


def test_indices_and_offsets_outside_are_refused(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 7, 0], pa.int32()), pa.array(["a"]), safe=False)
    reason, detail = rejected(decode, encode_arrow(replaced(table(3), "model", words)))
    assert (reason, "dictionary" in detail) == (Reason.NOT_ARROW, True)
    offsets = pa.py_buffer(struct.pack("<4i", 0, 2_000_000_000, 1, 2))
    wild = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"ab")])
    assert rejected(decode, encode_arrow(replaced(table(3), "model", wild)))[0] is Reason.NOT_ARROW


def test_text_offsets_outside_are_a_fault_of_the_message(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    value = encode_arrow(replaced(table(3), "model", pa.array(["ab", "cd", "ef"])))
    good = struct.pack("<4i", 0, 2, 4, 6)
    for offsets in ((0, 2, 2_000_000_000, 6), (0, 4, 2, 6), (0, -2, 4, 6), (0, 2, 4, 9999)):
        reason, _ = rejected(decode, patched(value, good, struct.pack("<4i", *offsets)))
        assert reason is Reason.NOT_ARROW


def test_two_streams_in_one_message_are_refused(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    value = encode_arrow(table(2))
    reason, detail = rejected(decode, value + value)
    assert (reason, "one stream in one message" in detail) == (Reason.NOT_ARROW, True)


def test_every_truncation_is_one_rejected_row_or_whole(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    value = encode_arrow(table(2))
    whole = decode([value]).records
    for length in range(4, len(value), 7):
        decoded = decode([value[:length]])
        # Without the eight bytes of its end mark a stream is still complete.
        if length == len(value) - 8 or decoded.records.num_rows:
            assert decoded.records.equals(whole)
        else:
            assert decoded.rejected["row"].to_pylist() == [0]


def test_many_bad_rows_out_of_few_bytes_keep_few_bytes(decode: Callable[..., Any]) -> None:
    value = write_stream(pa.table({"request_id": pa.nulls(4096), "account_id": pa.nulls(4096)}))
    assert len(value) < 1000
    rejected = decode([value]).rejected
    assert len(rejected) == 4096
    raws = rejected["raw"].to_pylist()
    assert 65_536 <= sum(map(len, raws)) < 70_000
    assert raws[0]
    assert not raws[-1]


def test_a_message_with_more_bad_rows_than_its_bytes_can_mean_is_rejected_as_one(
    table: Callable[..., pa.Table], message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    good = table(3)
    nothing = pa.table({name: pa.nulls(5000, good[name].type) for name in good.column_names})
    bad = write_stream(pa.concat_tables([good, nothing]).append_column("shoe", pa.nulls(5003)), "zstd")
    decoded = decode([message(1), bad, message(2)])
    (row,) = decoded.rejected.to_pylist()
    assert (row["offset"], row["row"], row["reason"]) == (101, 0, "missing_field")
    assert "5000 of 5003 rows" in row["detail"]
    assert "row 3: " in row["detail"]
    assert (row["raw_bytes"], row["raw"]) == (len(bad), bad[:65_536])
    assert decoded.records["offset"].to_pylist() == [100, 102]
    assert decoded.unknown_fields == {}
    # With bytes enough behind them, that many rows are told one by one.
    padded = write_stream(nothing.append_column("note", pa.array(["x" * 300] * 5000)))
    assert len(decode([padded], RecordDecoder(SPACE, max_message_bytes=1 << 22)).rejected) == 5000


def test_the_rows_that_headers_claim(table: Callable[..., pa.Table], message: Callable[..., bytes]) -> None:
    rows = table(70)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=30)
    assert claimed_rows(bytes(sink.getvalue())) == 70
    assert claimed_rows(write_stream(pa.table({"request_id": pa.nulls(9000)}), "zstd")) == 9000
    assert [claimed_rows(value) for value in (message(1), b"", encode_arrow(rows)[:40])] == [0, 0, 0]


def test_too_many_batches(table: Callable[..., pa.Table], decode: Callable[..., Any]) -> None:
    rows = table(1).select(["request_id"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for _ in range(4100):
            writer.write_table(rows)
    assert rejected(decode, bytes(sink.getvalue()))[0] is Reason.ARROW_BOMB
