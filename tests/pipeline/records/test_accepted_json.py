from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.records.decode import RecordDecoder
from pipeline.records.schema import REJECTED_SCHEMA, record_schema
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

SPACE = EmbeddingSpace("toy", 16)


def test_schemas(message: Callable[..., bytes], decode: Callable[..., Any]) -> None:
    for values in ([], [message(1)], [b""], [message(1), b"", message(2)]):
        decoded = decode(values)
        assert decoded.records.schema.equals(record_schema(SPACE))
        assert decoded.rejected.schema.equals(REJECTED_SCHEMA)
        decoded.records.validate(full=True)
        decoded.rejected.validate(full=True)


def test_values_arrive(
    message: Callable[..., bytes], decode: Callable[..., Any], record: Callable[..., Any]
) -> None:
    (row,) = decode(
        [message(4, status=200, asn=64512, stream=False, latency_ms=12.9, output_tokens=3.0)]
    ).records.to_pylist()
    assert row["event_time"].isoformat() == "2026-01-01T00:00:04.250000"
    assert (row["status"], row["asn"], row["stream"], row["latency_ms"], row["output_tokens"]) == (
        "200",
        64512,
        False,
        12,
        3,
    )
    assert (row["topic_id"], row["topic"], row["partition"], row["offset"], row["row"]) == (
        "T",
        "log",
        3,
        100,
        0,
    )
    assert row["top_p"] is None


def test_offsets_and_zones_mean_the_same_instant(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    forms = [
        "2026-01-01T00:00:00.123456Z",
        "2026-01-01T00:00:00.123456",
        "2026-01-01 01:00:00.123456+01:00",
        "2025-12-31t23:00:00.1234569-01:00",
        "2026-01-01T00:00:00.1234569999999999999999999999999z",
        1_767_225_600.123456,
    ]
    times = decode([message(i, event_time=form) for i, form in enumerate(forms)]).records["event_time"]
    assert times.cast(pa.int64()).to_pylist() == [1_767_225_600_123_456] * len(forms)


def test_unknown_fields_are_dropped_and_counted(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    decoded = decode([message(1, shoe_size=3, text="abc"), message(2), message(3, shoe_size=None)])
    assert len(decoded.records) == 3
    assert decoded.unknown_fields == {"shoe_size": 2, "text": 1}
    assert decode([message(1, shoe_size=3)]).records.equals(decode([message(1)]).records)


def test_names_of_unknown_fields_are_bounded(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    values = [message(1, **{f"name{i}": 1 for i in range(100)}), message(2, **{"x" * 10_000: 1})]
    counts = decode(values).unknown_fields
    assert len(counts) == 65
    assert counts["…"] == 37
    assert max(map(len, counts)) <= 64


def test_unknown_fields_of_rejected_messages_do_not_count(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    assert decode([message(1, shoe_size=3, input_tokens="x")]).unknown_fields == {}


def test_the_last_of_duplicate_keys_counts_on_both_paths(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    twice = message(1)[:-1] + b', "account_id": "last"}'
    slow = twice[:-1] + b', "output_tokens": 2.0}'
    assert decode([twice, slow]).records["account_id"].to_pylist() == ["last", "last"]


def test_descriptions_are_cut_between_characters(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    (agent,) = decode([message(1, user_agent="x" + "é" * 400)]).records["user_agent"].to_pylist()
    assert agent == "x" + "é" * 255


def test_empty_optional_strings_are_missing(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    (row,) = decode([message(1, organization_id="", payment_id=" ", user_agent="")]).records.to_pylist()
    assert row["organization_id"] is row["payment_id"] is row["user_agent"] is None


def test_nan_of_an_optional_number_is_missing(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    assert decode([message(1, temperature=float("nan"))]).records["temperature"].to_pylist() == [None]


def test_a_byte_order_mark_is_forgiven(message: Callable[..., bytes], decode: Callable[..., Any]) -> None:
    assert decode([b"\xef\xbb\xbf" + message(1)]).records.equals(decode([message(1)]).records)


def test_hash_forms(message: Callable[..., bytes], decode: Callable[..., Any]) -> None:
    forms = [2**64 - 1, str(2**64 - 1), hex(2**64 - 1), None]
    hashes = (
        decode([message(i, prompt_hash=form) for i, form in enumerate(forms)])
        .records["prompt_hash"]
        .to_pylist()
    )
    assert hashes[0] == hashes[1] == hashes[2]
    assert hashes[0] not in {None, 2**64 - 1}
    assert hashes[3] is None


def test_unknown_format() -> None:
    with pytest.raises(UsageError, match="'xml' is not known; choose one of native, otel"):
        RecordDecoder(SPACE, adapter="xml")  # type: ignore[arg-type]


CHANGES: list[dict[str, Any]] = [
    {},
    {"embedding": [0.1 * (i - 7.3) for i in range(16)]},
    {"embedding": [0] * 16},
    {"embedding": [1.5] * 15},
    {"event_time": 1_767_225_600},
    {"event_time": 1_767_225_600.5, "prompt_hash": "0xff"},
    {"event_time": "no"},
    {"prompt_hash": "12", "status": 503},
    {"prompt_hash": -1},
    {"status": "ok", "input_tokens": 2**70},
    {"input_tokens": None, "temperature": None, "model": None},
    {"account_id": ""},
    {"organization_id": "", "user_agent": "é" * 600},
    {"embedding_model": "other"},
    {"stranger": [1, 2], "output_tokens": 4.0},
    {"request_id": "\ud800"},
    {"temperature": float("nan")},
]


@given(kinds=st.lists(st.integers(0, len(CHANGES) + 1), max_size=14), data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_record_does_not_depend_on_what_it_is_decoded_with(
    kinds: list[int],
    data: st.DataObject,
    message: Callable[..., bytes],
    decode: Callable[..., Any],
    table: Callable[..., Any],
) -> None:
    from pipeline.records.encode import encode_arrow

    values: list[bytes | None] = []
    for number, kind in enumerate(kinds):
        if kind < len(CHANGES):
            values.append(message(number, **CHANGES[kind]))
        elif kind == len(CHANGES):
            values.append(None)
        else:
            values.append(encode_arrow(table(3, number)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(values)), max_size=4)))
    append = np.full(len(values), 1_767_229_200_000)
    whole = decode(values, append_times=append)
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True):
        parts.append(decode(values[start:stop], first=100 + start, append_times=append[start:stop]))
    assert (
        pa.concat_tables([p.records for p in parts]).combine_chunks().equals(whole.records.combine_chunks())
    )
    assert (
        pa.concat_tables([p.rejected for p in parts]).combine_chunks().equals(whole.rejected.combine_chunks())
    )
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.unknown_fields.items():
            total[name] = total.get(name, 0) + count
    assert total == whole.unknown_fields


def test_json_numbers_are_read_alike_on_both_paths(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    for number, x in enumerate(rng.normal(size=(50, 16))):
        fast = message(number, embedding=x.tolist(), temperature=float(rng.random()))
        slow = json.dumps({**json.loads(fast), "output_tokens": 1.0}).encode()
        plain = json.dumps({**json.loads(fast), "output_tokens": 1}).encode()
        assert decode([slow]).records.equals(decode([plain]).records)


def test_a_log_full_of_strange_fields_is_read_alike(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    # Past some dozens of refusals the decoder stops asking the fast way first.
    values = [message(i, **({} if i % 7 == 0 else {"shoe_size": i})) for i in range(120)]
    values[50] = message(50, input_tokens="x", shoe_size=1)
    values[90] = b"{"
    whole = decode(values)
    parts = [decode([value], first=100 + i) for i, value in enumerate(values)]
    assert (
        pa.concat_tables([p.records for p in parts]).combine_chunks().equals(whole.records.combine_chunks())
    )
    assert pa.concat_tables([p.rejected for p in parts]).combine_chunks().equals(whole.rejected)
    assert whole.unknown_fields == {"shoe_size": sum(p.unknown_fields.get("shoe_size", 0) for p in parts)}
