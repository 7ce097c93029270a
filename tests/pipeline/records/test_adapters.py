from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.records.adapters.fields import network_of
from pipeline.records.decode import RecordDecoder
from pipeline.records.schema import OPTIONAL_FIELDS
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

SPACE = EmbeddingSpace("toy", 16)
GOLDEN = Path(__file__).parent / "golden"
CASES = [
    pytest.param(name, case, id=f"{name}: {case['case']}")
    for name in ("otel", "litellm")
    for case in json.loads((GOLDEN / f"{name}.json").read_text())
]
BODY = ["request_id", "account_id", *(field.name for field in OPTIONAL_FIELDS)]


@pytest.mark.parametrize("by", ["name", "shape"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_golden(
    name: str, case: dict[str, Any], by: str, decode: Callable[..., Any], message: Callable[..., bytes]
) -> None:
    decoder = RecordDecoder(SPACE, adapter=name if by == "name" else "auto")  # type: ignore[arg-type]
    decoded = decode([json.dumps(case["message"]).encode()], decoder)
    if "reason" in case:
        (row,) = decoded.rejected.to_pylist()
        assert row["reason"] == case["reason"]
        assert re.search(case["detail"], row["detail"]), row["detail"]
        assert b"(synthetic)" not in row["raw"]
        assert decoded.unknown_fields == {}
        return
    assert decoded.rejected.to_pylist() == []
    (row,) = decoded.records.to_pylist()
    got = {name: row[name] for name in BODY if row[name] is not None and not name.endswith("_hash")}
    got["event_time"] = row["event_time"].isoformat()
    assert got == case["expected"]
    assert sorted(decoded.unknown_fields) == sorted(case["unknown"])
    native = [round(0.4 * (-1) ** i + 0.03 * i, 3) for i in range(16)]
    assert row["embedding"] == decode([message(1, embedding=native)]).records["embedding"][0].as_py()


def test_the_shape_is_looked_at_message_by_message(
    message: Callable[..., bytes], decode: Callable[..., Any]
) -> None:
    otel, litellm = (
        json.dumps(json.loads((GOLDEN / f"{n}.json").read_text())[0]["message"]).encode()
        for n in ("otel", "litellm")
    )
    decoded = decode([otel, message(1), litellm, b"{}", message(2)], RecordDecoder(SPACE, adapter="auto"))
    assert decoded.records["request_id"].to_pylist() == ["chatcmpl-1", "r1", "chatcmpl-77", "r2"]
    assert decoded.rejected["offset"].to_pylist() == [103]


def test_native_says_which_format_a_message_looks_like(decode: Callable[..., Any]) -> None:
    for name in ("otel", "litellm"):
        case = json.loads((GOLDEN / f"{name}.json").read_text())[0]
        (row,) = decode([json.dumps(case["message"]).encode()]).rejected.to_pylist()
        assert f"looks like {name}" in row["detail"]
        assert "--format" in row["detail"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77:443", "203.0.113.0/24"),
        (" 203.0.113.77, 10.0.0.1", "203.0.113.0/24"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.0.0/16", "203.0.0.0/16"),
        ("203.0.113.77/32", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("[2001:db8:1:2::4]:443", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("gateway.example.com", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_networks(address: Any, network: str | None) -> None:
    assert network_of(address) == network


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_place_is_a_record_or_a_rejected_row(
    data: st.DataObject, decode: Callable[..., Any]
) -> None:
    name, case = data.draw(st.sampled_from(CASES)).values
    message = json.loads(json.dumps(case["message"]))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(message)[1:] or [()]))
        node = message
        for key in path[:-1]:
            node = node[key]
        if path:
            node[path[-1]] = data.draw(JSON)
    decoder = RecordDecoder(SPACE, adapter=name)
    decoded = decode([json.dumps(message).encode()], decoder)
    assert len(decoded.records) + len(decoded.rejected) == 1


@pytest.mark.parametrize("name", ["otel", "litellm", "auto"])
def test_hostile_shapes_are_rejected_rows(name: str, decode: Callable[..., Any]) -> None:
    shapes: list[Any] = [
        {"resourceSpans": 7},
        {"resourceSpans": [7, {"scopeSpans": [{"spans": "x"}]}]},
        {"attributes": [7, {"key": 3}, {"key": "gen_ai.x"}, {"key": "gen_ai.y", "value": {"arrayValue": 3}}]},
        {"attributes": {"gen_ai.request.model": {"deep": []}, "user.id": 3}},
        {"gen_ai.usage.input_tokens": "x", "timestamp": {}},
        {
            "attributes": [{"key": "gen_ai.a", "value": {"intValue": "-9" * 40}}],
            "startTimeUnixNano": "9" * 19,
        },
        {
            "id": 1,
            "startTime": "x",
            "call_type": [],
            "metadata": 3,
            "model_parameters": [],
            "response_time": float("nan"),
        },
        {
            "id": {},
            "startTime": float("inf"),
            "endTime": 1e308,
            "model_parameters": {"n": {}},
            "error_information": 3,
        },
        {
            "standard_logging_object": {
                "startTime": 1e300,
                "endTime": 2e300,
                "metadata": {"user_api_key_user_id": []},
            }
        },
    ]
    decoded = decode([json.dumps(shape).encode() for shape in shapes], RecordDecoder(SPACE, adapter=name))  # type: ignore[arg-type]
    assert len(decoded.rejected) == len(shapes)
