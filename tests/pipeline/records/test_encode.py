from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.records.encode import encode_arrow, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable


def test_json_is_compact_and_without_nulls(table: Callable[..., pa.Table]) -> None:
    messages = encode_json(table(30))
    assert len(messages) == 30
    for message in messages:
        fields = json.loads(message)
        assert None not in fields.values()
        assert b'", "' not in message
        assert fields["event_time"].endswith("Z")


def test_only_fields_of_the_contract_are_sent(
    table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    rows = table(5)
    landed = decode(encode_json(rows)).records
    assert encode_json(landed.append_column("prompt", pa.array(["x"] * 5)))[0].find(b'prompt"') == -1
    with pa.ipc.open_stream(encode_arrow(landed)) as reader:
        assert "topic_id" not in reader.schema.names


def test_empty_tables(table: Callable[..., pa.Table]) -> None:
    assert encode_json(table(3).slice(0, 0)) == []


def test_chunks_do_not_show(table: Callable[..., pa.Table]) -> None:
    rows = table(6)
    chunked = pa.concat_tables([rows.slice(0, 2), rows.slice(2)])
    assert encode_json(chunked) == encode_json(rows)
    assert encode_arrow(chunked) == encode_arrow(rows)
