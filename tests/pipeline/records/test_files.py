from __future__ import annotations

import bz2
import gzip
import hashlib
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import Position, Reason, UsageError
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_json
from pipeline.records.files import decode_file, open_log
from pipeline.records.lines import LongLine, read_lines
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPACE = EmbeddingSpace("toy", 16)


def write(path: Path, body: bytes) -> Path:
    if path.suffix == ".gz":
        body = gzip.compress(body)
    elif path.suffix == ".bz2":
        body = bz2.compress(body)
    elif path.suffix == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(body)
        body = bytes(sink.getvalue())
    path.write_bytes(body)
    return path


def everything(
    path: Path, first: int = 0, rows: int = 4, **more: Any
) -> tuple[list[tuple[int, int]], pa.Table, pa.Table]:
    decoder = more.pop("decoder", None) or RecordDecoder(SPACE)
    parts = list(decode_file(decoder, open_log(path), first, rows, **more))
    ranges = [(a, b) for a, b, _ in parts]
    for (_, stop), (start, _) in pairwise(ranges):
        assert stop == start
    records = [d.records for _, _, d in parts]
    rejected = [d.rejected for _, _, d in parts]
    return ranges, pa.concat_tables(records).combine_chunks(), pa.concat_tables(rejected).combine_chunks()


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.log", "a.jsonl.gz", "a.jsonl.bz2", "a.jsonl.zst"])
def test_lines(name: str, tmp_path: Path, message: Callable[..., bytes]) -> None:
    # Rows: 0 good, 1 empty, 2 blanks, 3 bad, 4 good with \r\n, 5 good without an end.
    body = b"\n".join([message(0), b"", b"  \t", b"{bad", message(4) + b"\r", message(5)])
    path = write(tmp_path / name, body)
    ranges, records, rejected = everything(path)
    assert ranges == [(0, 4), (4, 6)]
    assert records["offset"].to_pylist() == [0, 4, 5]
    assert records["request_id"].to_pylist() == ["r0", "r4", "r5"]
    assert set(records["topic"].to_pylist()) == {name}
    (bad,) = rejected.to_pylist()
    assert (bad["reason"], bad["offset"], bad["raw"]) == (Reason.NOT_JSON, 3, b"{bad")
    position = Position(bad["topic"], bad["partition"], bad["offset"], bad["row"], bad["topic_id"])
    assert str(position) == f"{name}, row 3"


def test_identity_is_the_digest_of_the_bytes(tmp_path: Path, message: Callable[..., bytes]) -> None:
    body = message(1)
    one, two = write(tmp_path / "one.jsonl", body), write(tmp_path / "two.jsonl", body)
    log = open_log(one)
    assert (
        log.topic_id == "file-" + hashlib.blake2b(body, digest_size=16).hexdigest() == open_log(two).topic_id
    )
    assert log.topic == "one.jsonl"
    assert open_log(write(tmp_path / "three.jsonl", body + b"\n")).topic_id != log.topic_id


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_going_on_at_any_row_gives_the_same(
    batch: int, tmp_path: Path, table: Callable[..., pa.Table]
) -> None:
    rows = table(23)
    lines = encode_json(rows)
    lines[5], lines[11], lines[22] = b"", b"{", b" "
    text = write(tmp_path / "a.jsonl.gz", b"\n".join(lines) + b"\n")
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=5)
    for path in (text, tmp_path / "a.parquet"):
        ranges, records, rejected = everything(path, 0, 23)
        assert ranges == [(0, 23)]
        for first in (0, 1, 4, 5, 6, 11, 21, 22, 23, 25):
            again_ranges, again, again_rejected = (
                everything(path, first, batch)
                if first < 23
                else ([], records.slice(0, 0), rejected.slice(0, 0))
            )
            if first < 23:
                assert again_ranges[0][0] == first
                assert again_ranges[-1][1] == 23
            else:
                assert list(decode_file(RecordDecoder(SPACE), open_log(path), first, batch)) == []
            keep = pa.compute.greater_equal(records["offset"], first)
            assert again.equals(records.filter(keep).combine_chunks())
            keep = pa.compute.greater_equal(rejected["offset"], first)
            assert again_rejected.equals(rejected.filter(keep).combine_chunks())


def test_parquet(tmp_path: Path, table: Callable[..., pa.Table]) -> None:
    rows = (
        table(10)
        .append_column("prompt", pa.array(["secret"] * 10))
        .append_column("shoe", pa.array(range(10)))
    )
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=3)
    log = open_log(tmp_path / "a.parquet")
    assert log.rows == 10
    parts = list(decode_file(RecordDecoder(SPACE), log, 2, 4))
    assert [row for _, _, d in parts for row in d.records["offset"].to_pylist()] == list(range(2, 10))
    assert (parts[0][0], parts[-1][1]) == (2, 10)
    assert all(after - first <= 4 for first, after, _ in parts)
    total = {"prompt": 0, "shoe": 0}
    for _, _, part in parts:
        for name, count in part.unknown_fields.items():
            total[name] += count
    assert total == {"prompt": 8, "shoe": 8}


def test_parquet_with_text_and_no_embedding(tmp_path: Path, table: Callable[..., pa.Table]) -> None:
    pq.write_table(
        table(3).drop("embedding").append_column("prompt", pa.array(["secret"] * 3)), tmp_path / "a.parquet"
    )
    _, records, rejected = everything(tmp_path / "a.parquet")
    assert len(records) == 0
    assert rejected["reason"].to_pylist() == [Reason.TEXT_WITHOUT_EMBEDDING] * 3
    assert all(b"secret" not in raw for raw in rejected["raw"].to_pylist())


def test_parquet_column_of_a_wrong_type(tmp_path: Path, table: Callable[..., pa.Table]) -> None:
    rows = table(3)
    rows = rows.set_column(1, "account_id", pa.array([1, 2, 3]))
    pq.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"/a\.parquet: column account_id has type int64; send string"):
        everything(tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match=r"/b\.parquet: no column .*columns: 'x'"):
        everything(tmp_path / "b.parquet")


def test_broken_parquet(tmp_path: Path, table: Callable[..., pa.Table]) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(1000), path, row_group_size=100, write_page_checksum=True)
    body = path.read_bytes()
    for broken in (b"", b"PAR1", b"not parquet at all", body[:-20], body[: len(body) // 2]):
        path.write_bytes(broken)
        with pytest.raises(UsageError, match=r"a\.parquet is not a readable Parquet file .*complete"):
            open_log(path)
    damaged = bytearray(body)
    damaged[len(body) // 3] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(UsageError, match=r"a\.parquet cannot be read as Parquet past row \d+"):
        everything(path)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "zst"])
def test_a_broken_off_archive_lands_what_came_before(
    suffix: str, tmp_path: Path, table: Callable[..., pa.Table]
) -> None:
    import random

    noise = random.Random(1)
    lines = [
        json.dumps({**json.loads(m), "x": noise.randbytes(25_000).hex()}).encode()
        for m in encode_json(table(60))
    ]
    path = write(tmp_path / f"a.jsonl.{suffix}", b"\n".join(lines))
    body = path.read_bytes()
    path.write_bytes(body[: int(len(body) * 0.9)])
    landed = []
    parts = decode_file(RecordDecoder(SPACE), open_log(path), 0, 10)
    with pytest.raises(UsageError, match=rf"a\.jsonl\.{suffix} cannot be read past row \d+ .*complete"):
        landed.extend(len(decoded.records) for _, _, decoded in parts)
    assert 0 < sum(landed) < 60


def test_long_lines_are_rejected_and_not_held(tmp_path: Path, message: Callable[..., bytes]) -> None:
    limit = 1000
    body = b"\n".join([message(0), b"x" * 3_000_000, message(2), b"y" * 1001, b"z" * 1000, b"w" * 5_000_000])
    path = write(tmp_path / "a.jsonl", body)
    _, records, rejected = everything(path, 0, 100, decoder=RecordDecoder(SPACE, max_message_bytes=limit))
    assert records["offset"].to_pylist() == [0, 2]
    assert rejected["offset"].to_pylist() == [1, 3, 4, 5]
    assert rejected["raw_bytes"].to_pylist() == [3_000_000, 1001, 1000, 5_000_000]
    assert rejected["reason"].to_pylist() == [Reason.TOO_LARGE] * 2 + [Reason.NOT_JSON] + [Reason.TOO_LARGE]
    assert "put one record on each line" in rejected["detail"][0].as_py()
    assert max(map(len, rejected["raw"].to_pylist())) <= 65_536


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 64])
def test_lines_do_not_depend_on_how_they_are_read(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    body = b"ab\n\ncd\r\n" + b"e" * 12 + b"\r\n" + b"f" * 13 + b"\n" + b"g" * 40 + b"\nh"
    monkeypatch.setattr("pipeline.records.lines._CHUNK", chunk)
    lines = list(read_lines(io.BytesIO(body), 12, 5))
    assert lines == [b"ab", b"", b"cd", b"e" * 12, LongLine(b"fffff", 13), LongLine(b"ggggg", 40), b"h"]


def test_a_json_list_is_refused_once(tmp_path: Path, message: Callable[..., bytes]) -> None:
    path = write(tmp_path / "a.json", b" \n[" + message(1) + b"]")
    with pytest.raises(UsageError, match=r"a\.json is one JSON list; .*jq -c"):
        open_log(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl cannot be read \(No such file"):
        open_log(tmp_path / "nowhere.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        open_log(tmp_path)
    with pytest.raises(UsageError, match="is an Arrow IPC file"):
        open_log(write(tmp_path / "a.arrow", b"ARROW1\0\0"))
    write(tmp_path / "empty.jsonl", b"")
    assert list(decode_file(RecordDecoder(SPACE), open_log(tmp_path / "empty.jsonl"))) == []


def test_a_file_that_changes_is_not_read_on(tmp_path: Path, message: Callable[..., bytes]) -> None:
    path = write(tmp_path / "a.jsonl", b"\n".join(message(i) for i in range(4)))
    parts = decode_file(RecordDecoder(SPACE), open_log(path), 0, 2)
    next(parts)
    with path.open("ab") as file:
        file.write(b"\n" + message(5))
    with pytest.raises(UsageError, match="changed while it was read; let the writer finish"):
        list(parts)


def test_an_append_time_bounds_a_file(tmp_path: Path, message: Callable[..., bytes]) -> None:
    path = write(tmp_path / "a.jsonl", message(1, event_time="2026-01-01T03:00:00Z"))
    assert len(everything(path)[1]) == 1
    _, _, rejected = everything(path, append_time=1_767_229_200_000)
    assert rejected["reason"].to_pylist() == [Reason.TIME_BEYOND_BOUND]


def test_bad_arguments(tmp_path: Path) -> None:
    log = open_log(write(tmp_path / "a.jsonl", b""))
    with pytest.raises(ValueError, match="batch_rows 0"):
        next(decode_file(RecordDecoder(SPACE), log, 0, 0))
