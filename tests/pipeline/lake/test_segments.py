from __future__ import annotations

import hashlib
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_support import SPACE, TOPIC_ID, decoded, make_lake, make_lander, make_records, make_rejected, part

from pipeline.errors import LakeError
from pipeline.lake import Chain
from pipeline.lake.ordering import contents_digest, position_pairs, positions_digest
from pipeline.lake.segments import read_segment, segment_table
from pipeline.records.schema import segment_schema

RECORDS = make_records(300)


def plain_contents_digest(table: pa.Table) -> str:
    """The definition, value by value."""
    hasher = hashlib.blake2b(digest_size=32)
    hasher.update(f"{table.num_rows}\n".encode())
    for field in table.schema:
        values = table.column(field.name).to_pylist()
        hasher.update(f"{field.name} {field.type}\n".encode())
        bits = "".join("1" if value is not None else "0" for value in values)
        bits += "0" * (-len(bits) % 8)
        hasher.update(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
        there = [value for value in values if value is not None]
        if pa.types.is_string(field.type) or field.type == pa.binary():
            raw = [value.encode() if isinstance(value, str) else value for value in there]
            hasher.update(b"".join(struct.pack("<q", len(value)) for value in raw) + b"".join(raw))
        elif pa.types.is_fixed_size_binary(field.type):
            hasher.update(b"".join(there))
        elif pa.types.is_timestamp(field.type):
            times = table.column(field.name).cast(pa.int64()).drop_null().to_pylist()
            hasher.update(b"".join(struct.pack("<q", value) for value in times))
        else:
            code = {"int32": "<i", "int64": "<q", "uint64": "<Q", "double": "<d", "bool": "<?"}[
                str(field.type)
            ]
            hasher.update(b"".join(struct.pack(code, value) for value in there))
    return hasher.hexdigest()


@pytest.mark.parametrize("count", [0, 1, 300])
def test_contents_digest_is_what_its_definition_says(count):
    rejected = make_rejected(list(range(count, count + count % 7)))
    table = segment_table(RECORDS.slice(0, count), rejected, SPACE)
    assert contents_digest(table) == plain_contents_digest(table)


def test_contents_digest_does_not_depend_on_chunks_or_on_parquet(tmp_path):
    table = segment_table(RECORDS, make_rejected([300]), SPACE)
    wanted = contents_digest(table)
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7, 100), table.slice(107)])
    assert contents_digest(chunked) == wanted
    for options in (
        {"row_group_size": 11, "compression": "none"},
        {"use_dictionary": False, "compression": "snappy"},
    ):
        pq.write_table(table, tmp_path / "file", **options)
        assert contents_digest(pq.read_table(tmp_path / "file")) == wanted


def test_contents_digest_sees_every_value():
    table = segment_table(RECORDS.slice(0, 5), make_rejected([5]), SPACE)
    seen, changed = {contents_digest(table)}, 0
    for index, field in enumerate(table.schema):
        column = table.column(index)
        for order in ([0, 0, 2, 3, 4, 5], [None, 1, 2, 3, 4, 5], [0, 1, 2, 3, 5, 4]):
            other = column.take(pa.array(order, pa.int64()))
            if not other.equals(column):
                changed += 1
                seen.add(contents_digest(table.set_column(index, field, other)))
    assert len(seen) == 1 + changed
    assert changed > 40


def test_positions_digest_is_what_its_definition_says():
    table = make_records(50)
    shuffled = table.take(list(range(49, -1, -1)))
    plain = hashlib.blake2b(b"".join(struct.pack("<qq", offset, 0) for offset in range(50)), digest_size=32)
    assert positions_digest(position_pairs(shuffled)) == plain.hexdigest()


@pytest.fixture
def landed(tmp_path):
    lake = make_lake(tmp_path / "lake")
    lander = make_lander(lake)
    lander.accept(decoded(RECORDS, make_rejected([300])), 0, 301)
    return lake, lander.land()


def test_metadata_comes_back(landed):
    lake, segment = landed
    assert read_segment(lake.store, segment.chain, 0) == segment
    assert read_segment(lake.store, segment.chain, 1) is None


def test_the_file_has_the_schema_of_the_format(landed):
    lake, segment = landed
    assert pq.read_schema(lake.store.path(segment.key)).remove_metadata().equals(segment_schema(SPACE))


def test_a_file_under_a_wrong_name_is_named(landed):
    lake, segment = landed
    wrong = lake.store.path(Chain(TOPIC_ID, 0).segment(301))
    wrong.write_bytes(lake.store.path(segment.key).read_bytes())
    with pytest.raises(LakeError, match="says it holds offsets 0 to 300"):
        lake.head(TOPIC_ID, 0)


@pytest.mark.parametrize("damage", ["torn", "foreign"])
def test_a_damaged_file_is_named_with_the_way_out(landed, damage):
    lake, segment = landed
    path = lake.store.path(segment.key)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-100])
        match = "restore it from a copy"
    else:
        pq.write_table(pa.table({"a": [1]}), path)
        match = "not written by distillwatch"
    with pytest.raises(LakeError, match=match):
        read_segment(lake.store, segment.chain, 0)


def test_equal_rows_give_equal_bytes_but_for_writer_and_time(tmp_path):
    contents = []
    for number in range(2):
        lake = make_lake(tmp_path / str(number))
        lander = make_lander(lake)
        lander.writer = "the same"
        for low, high in ((0, 300),) if number else ((0, 100), (100, 300)):
            lander.accept(part(RECORDS, low, high), low, high)
        contents.append(lake.store.path(lander.land().key).read_bytes())
    assert contents[0] == contents[1]
