"""Every kind of bad JSON record: the reason, the place, the way out, and the good ones around it come through."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import Reason
from pipeline.records.decode import RecordDecoder
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

B64 = base64.b64encode
D = 16
GOOD_Q = [1] * D


def floats(**changes: Any) -> list[Any]:
    values: list[Any] = [round(0.3 * (-1) ** i + i / 100, 4) for i in range(D)]
    for place, value in changes.items():
        values[int(place[1:])] = value
    return values


MISSING = ...
# name: changes to a good record, reason, pattern that the detail must match (what was wrong and the way out)
FIELDS: dict[str, tuple[dict[str, Any], Reason, str]] = {
    "no request id": (
        {"request_id": MISSING},
        Reason.MISSING_FIELD,
        r"request_id is missing; every record needs one",
    ),
    "null account": (
        {"account_id": None},
        Reason.MISSING_FIELD,
        r"account_id is null; every record needs one",
    ),
    "no time": ({"event_time": MISSING}, Reason.MISSING_FIELD, r"event_time is missing"),
    "empty account": ({"account_id": ""}, Reason.EMPTY_ID, r"account_id is ''; .* not blank"),
    "blank account": ({"account_id": " \t"}, Reason.EMPTY_ID, r"account_id is ' \\t'"),
    "account a number": (
        {"account_id": 7},
        Reason.WRONG_TYPE,
        r"account_id is an integer \(7\); send a string",
    ),
    "long account": (
        {"account_id": "é" * 257},
        Reason.OUT_OF_RANGE,
        r"account_id has 514 bytes .*send a digest",
    ),
    "long payment": ({"payment_id": "p" * 513}, Reason.OUT_OF_RANGE, r"payment_id has 513 bytes"),
    "no embedding": ({"embedding": MISSING}, Reason.NO_EMBEDDING, r"embedding is missing; send a list"),
    "null embedding": ({"embedding": None}, Reason.NO_EMBEDDING, r"embedding is null"),
    "prompt": (
        {"embedding": MISSING, "prompt": "hello there"},
        Reason.TEXT_WITHOUT_EMBEDDING,
        r"text \(prompt\) but no embedding; run `distillwatch embed`",
    ),
    "messages": (
        {"embedding": None, "messages": [{"role": "user", "content": "hello"}], "input": "x"},
        Reason.TEXT_WITHOUT_EMBEDDING,
        r"text \(input, messages\)",
    ),
    "genai messages": (
        {"embedding": MISSING, "gen_ai.input.messages": [{"parts": []}]},
        Reason.TEXT_WITHOUT_EMBEDDING,
        r"gen_ai\.input\.messages",
    ),
    "embedding an object": (
        {"embedding": {"a": 1}},
        Reason.BAD_EMBEDDING,
        r"embedding is an object .*list of numbers",
    ),
    "not base64": ({"embedding": "?" * 24}, Reason.BAD_EMBEDDING, r"text of 24 characters .*standard base64"),
    "url-safe base64": ({"embedding": "-_" * 12}, Reason.BAD_EMBEDDING, r"standard base64 \(\+ and /"),
    "a string in it": (
        {"embedding": floats(_3="0.5")},
        Reason.BAD_EMBEDDING,
        r"embedding\[3\] is a string \('0.5'\)",
    ),
    "a null in it": ({"embedding": floats(_2=None)}, Reason.BAD_EMBEDDING, r"embedding\[2\] is null"),
    "a truth in it": ({"embedding": floats(_2=True)}, Reason.BAD_EMBEDDING, r"embedding\[2\] is a boolean"),
    "NaN in it": (
        {"embedding": floats(_2=float("nan"))},
        Reason.NOT_FINITE,
        r"embedding\[2\] is nan.* finite numbers",
    ),
    "beyond a float": (
        {"embedding": floats(_2=1e39)},
        Reason.NOT_FINITE,
        r"embedding\[2\] is inf as a 32-bit float",
    ),
    "huge integer in it": ({"embedding": floats(_2=10**400)}, Reason.NOT_FINITE, r"embedding\[2\] is inf"),
    "zero vector": ({"embedding": [0] * D}, Reason.ZERO_VECTOR, r"all values are 0"),
    "zero grid vector": ({"embedding": B64(bytes(D)).decode()}, Reason.ZERO_VECTOR, r"all int8 values are 0"),
    "saturated": (
        {"embedding": B64(b"\x7f" * D).decode()},
        Reason.NOT_ON_GRID,
        r"\|q\|\^2 is 258064.*or send the floats",
    ),
    "too short": (
        {"embedding": floats()[:-1]},
        Reason.WRONG_DIMENSION,
        r"15 values, toy \(d=16\) has 16; embed with",
    ),
    "empty list": ({"embedding": []}, Reason.WRONG_DIMENSION, r"embedding has 0 values"),
    "too many bytes": ({"embedding": B64(bytes(17)).decode()}, Reason.WRONG_DIMENSION, r"17 int8 values"),
    "other model": (
        {"embedding_model": "e5", "embedding": [1.0, 2.0]},
        Reason.OTHER_SPACE,
        r"embedding_model is 'e5', this lake holds toy \(d=16\)",
    ),
    "time no time": (
        {"event_time": "yesterday"},
        Reason.BAD_TIME,
        r"event_time is 'yesterday'; send RFC 3339",
    ),
    "time a date": ({"event_time": "2026-01-01"}, Reason.BAD_TIME, r"'2026-01-01'"),
    "time empty": ({"event_time": ""}, Reason.BAD_TIME, r"event_time is ''"),
    "February 30": ({"event_time": "2026-02-30T00:00:00Z"}, Reason.BAD_TIME, r"2026-02-30"),
    "time a truth": (
        {"event_time": True},
        Reason.WRONG_TYPE,
        r"event_time is a boolean \(True\); send RFC 3339",
    ),
    "time NaN": ({"event_time": float("nan")}, Reason.BAD_TIME, r"event_time is NaN"),
    "before 1970": (
        {"event_time": "1969-12-31T23:59:59.9999999Z"},
        Reason.TIME_BEFORE_1970,
        r"1969-12-31T23:59:59.999999Z",
    ),
    "negative seconds": ({"event_time": -1}, Reason.TIME_BEFORE_1970, r"before 1970"),
    "far in the future": (
        {"event_time": "2026-01-01T02:00:01Z"},
        Reason.TIME_BEYOND_BOUND,
        r"3600 s after .*appended 2026-01-01T01:00:00",
    ),
    "milliseconds": (
        {"event_time": 1_767_225_600_000},
        Reason.TIME_BEYOND_BOUND,
        r"1767225600000 seconds.*not milliseconds",
    ),
    "tokens a string": (
        {"input_tokens": "12"},
        Reason.WRONG_TYPE,
        r"input_tokens is a string \('12'\); send an integer without quotes",
    ),
    "tokens a fraction": (
        {"output_tokens": 1.5},
        Reason.WRONG_TYPE,
        r"output_tokens is a number with a fraction \(1.5\)",
    ),
    "tokens a truth": ({"max_tokens": True}, Reason.WRONG_TYPE, r"max_tokens is a boolean"),
    "tokens negative": ({"input_tokens": -1}, Reason.OUT_OF_RANGE, r"input_tokens is -1; .*0 … 2\*\*40"),
    "tokens too many": ({"output_tokens": 2**40 + 1}, Reason.OUT_OF_RANGE, r"output_tokens is 1099511627777"),
    "tokens astronomical": ({"output_tokens": 10**30}, Reason.OUT_OF_RANGE, r"output_tokens is 1000000000"),
    "AS number": ({"asn": 2**32}, Reason.OUT_OF_RANGE, r"asn is 4294967296; .*2\*\*32 - 1"),
    "temperature a string": ({"temperature": "0.7"}, Reason.WRONG_TYPE, r"temperature is a string \('0.7'\)"),
    "temperature huge": ({"temperature": 1e300}, Reason.OUT_OF_RANGE, r"temperature is 1e\+300"),
    "temperature infinite": ({"temperature": float("inf")}, Reason.OUT_OF_RANGE, r"temperature is inf"),
    "stream a number": ({"stream": 1}, Reason.WRONG_TYPE, r"stream is an integer \(1\); send true or false"),
    "hash negative": (
        {"prompt_hash": -5},
        Reason.OUT_OF_RANGE,
        r"prompt_hash is -5; send an unsigned 64-bit",
    ),
    "hash too large": ({"prompt_hash": 2**64}, Reason.OUT_OF_RANGE, r"prompt_hash is 18446744073709551616"),
    "hash bare hex": (
        {"template_hash": "deadbeef"},
        Reason.WRONG_TYPE,
        r"template_hash is 'deadbeef'.*0x in front",
    ),
    "hash a fraction": (
        {"template_hash": 1.5},
        Reason.WRONG_TYPE,
        r"template_hash is a number with a fraction",
    ),
    "model a list": ({"model": ["m"]}, Reason.WRONG_TYPE, r"model is a list \(\['m'\]\); send a string"),
    "status a truth": ({"status": False}, Reason.WRONG_TYPE, r"status is a boolean"),
    "half a surrogate pair": (
        {"model": "m\ud800"},
        Reason.WRONG_ENCODING,
        r"model holds half a surrogate pair at character 1",
    ),
}

RAW: dict[str, tuple[bytes | None, Reason, str]] = {
    "null": (None, Reason.NULL_VALUE, r"no value; send the record as value"),
    "empty": (b"", Reason.NOT_JSON, r"empty; send one JSON object"),
    "blanks": (b" \n", Reason.NOT_JSON, r"empty"),
    "broken off": (b'{"request_id": "r', Reason.NOT_JSON, r"not JSON at character 15 .*one JSON object"),
    "two objects": (b"{} {}", Reason.NOT_JSON, r"Extra data"),
    "a list": (b"[{}]", Reason.NOT_AN_OBJECT, r"a list, not an object; .*without a list around"),
    "a number": (b"3", Reason.NOT_AN_OBJECT, r"an integer"),
    "the word null": (b"null", Reason.NOT_AN_OBJECT, r"null"),
    "not UTF-8": (b'{"request_id": "\xff"}', Reason.WRONG_ENCODING, r"not UTF-8 at byte 16 .*send UTF-8"),
    "surrogates in UTF-8": (b'{"model": "\xed\xa0\x80"}', Reason.WRONG_ENCODING, r"not UTF-8 at byte 11"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), Reason.WRONG_ENCODING, r"UTF-16; send UTF-8"),
    "deep": (b'{"a":' * 100_000, Reason.NOT_JSON, r"nested too deeply|not JSON"),
    "long integer": (b'{"input_tokens": ' + b"9" * 5000 + b"}", Reason.NOT_JSON, r"thousands of digits"),
    "too large": (
        b" " * 1_048_577,
        Reason.TOO_LARGE,
        r"1048577 bytes, at most 1048576 .*raise max_message_bytes",
    ),
    "text, not JSON": (b"GET / HTTP/1.1", Reason.NOT_JSON, r"not JSON at character 0 "),
    "compressed": (b"\x1f\x8b\x08\x00abc", Reason.WRONG_ENCODING, r"not UTF-8 at byte 1"),
    "Arrow, broken off": (b"\xff\xff\xff\xff\x00\x01", Reason.NOT_ARROW, r"not a readable Arrow IPC stream"),
}
APPEND = 1_767_229_200_000  # 2026-01-01T01:00:00Z


def bad_values(record: Callable[..., dict[str, Any]]) -> dict[str, tuple[bytes | None, Reason, str]]:
    values = dict(RAW)
    for name, (changes, reason, pattern) in FIELDS.items():
        values[name] = (json.dumps(record(**changes)).encode(), reason, pattern)
    return values


def test_there_are_many_kinds() -> None:
    assert len(FIELDS) + len(RAW) >= 20
    assert {reason for _, reason, _ in [*FIELDS.values(), *RAW.values()]} >= set(Reason) - {
        Reason.ARROW_BOMB,
        Reason.ARROW_SCHEMA,
    }


@pytest.mark.parametrize("name", [*RAW, *FIELDS])
def test_one_bad_among_good(
    name: str,
    record: Callable[..., dict[str, Any]],
    message: Callable[..., bytes],
    decode: Callable[..., Any],
) -> None:
    bad, reason, pattern = bad_values(record)[name]
    values = [message(1), bad, message(2)]
    decoded = decode(values, append_times=np.full(3, APPEND))
    assert decoded.records["request_id"].to_pylist() == ["r1", "r2"]
    (rejected,) = decoded.rejected.to_pylist()
    assert rejected["reason"] == reason
    assert re.search(pattern, rejected["detail"]), rejected["detail"]
    assert [rejected[k] for k in ("topic_id", "topic", "partition", "offset", "row")] == [
        "T",
        "log",
        3,
        101,
        0,
    ]
    assert rejected["raw_bytes"] == len(bad or b"")
    assert len(rejected["raw"]) <= 65_536


def test_all_bad_together_interleaved_with_good(
    record: Callable[..., dict[str, Any]], message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    bad = list(bad_values(record).values())
    values: list[bytes | None] = []
    for number, (value, _, _) in enumerate(bad):
        values += [message(number), value]
    decoded = decode(values, append_times=np.full(len(values), APPEND), first=0)
    assert decoded.records["offset"].to_pylist() == list(range(0, len(values), 2))
    assert decoded.records["request_id"].to_pylist() == [f"r{n}" for n in range(len(bad))]
    assert decoded.rejected["offset"].to_pylist() == list(range(1, len(values), 2))
    assert decoded.rejected["reason"].to_pylist() == [reason for _, reason, _ in bad]


def test_hostile_messages_cannot_join_into_a_good_list(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    # Joined with commas inside [ ], the three would be two good records.
    good = message(5)
    decoded = decode([good[:40], good[40:], good])
    assert decoded.records["offset"].to_pylist() == [102]
    assert len(decoded.rejected) == 2


def test_a_rejected_message_is_kept_as_it_came(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    bad = message(1, input_tokens=-1)
    assert decode([bad]).rejected["raw"].to_pylist() == [bad]


def test_but_no_text_is_kept(record: Callable[..., dict[str, Any]], decode: Callable[..., Any]) -> None:
    secret = "my most private question"
    shapes = [
        record(embedding=..., prompt=secret),
        record(embedding=..., messages=[{"role": "user", "content": secret}]),
        record(account_id="", note={"deep": [secret]}),
        record(account_id="", anything=secret),
        record(account_id="", completion="hunter2"),
        record(account_id="", status=secret * 50),
        record(embedding=..., **{"gen_ai.prompt.0.content": secret}),
    ]
    decoded = decode([json.dumps(shape).encode() for shape in shapes])
    assert len(decoded.rejected) == len(shapes)
    for raw in decoded.rejected["raw"].to_pylist():
        assert secret.encode() not in raw
        assert b"hunter2" not in raw
        assert json.loads(raw)["request_id"] == "r0"
    cut = json.dumps({"account_id": "a", "input_tokens": 3, "prompt": secret}).encode()
    for broken in (cut[:-1], cut + b" " * 2_000_000):
        (raw,) = decode([broken]).rejected["raw"].to_pylist()
        assert raw == b'{"account_id": "a", "input_tokens": 3, '
    assert not any(secret in detail for detail in decoded.rejected["detail"].to_pylist())


def test_raw_is_cut_at_64_kib(decode: Callable[..., Any]) -> None:
    (row,) = decode([b"x" * 100_000]).rejected.to_pylist()
    assert (len(row["raw"]), row["raw_bytes"]) == (65_536, 100_000)


def test_without_append_times_there_is_no_bound_but_year_9999(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    values = [
        message(1, event_time="9999-12-30T23:59:59.999999Z"),
        # In year 9999 too, but not with a window around it.
        message(2, event_time="9999-12-31T00:00:00Z"),
        message(3, event_time=253_402_300_800),
    ]
    decoded = decode(values)
    assert decoded.records["request_id"].to_pylist() == ["r1"]
    assert decoded.rejected["reason"].to_pylist() == [Reason.TIME_BEYOND_BOUND] * 2
    unknown = decode(values, append_times=np.array([-1, -1, -1]))
    assert unknown.records.equals(decoded.records)


def test_the_bound_is_inclusive_and_settable(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    values = [
        message(1, event_time="2026-01-01T02:00:00Z"),
        message(2, event_time="2026-01-01T02:00:00.000001Z"),
    ]
    assert decode(values, append_times=np.full(2, APPEND)).rejected["offset"].to_pylist() == [101]
    wide = RecordDecoder(EmbeddingSpace("toy", D), max_future_seconds=3601)
    assert len(decode(values, wide, append_times=np.full(2, APPEND)).records) == 2


def test_numbers_of_arguments_must_agree(decode: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="2 values, 1 offsets"):
        decode([b"", b""], offsets=np.arange(1))
