"""OpenTelemetry's GenAI attributes, in the shapes in which they are logged.

Names after the OpenTelemetry GenAI semantic conventions, schema ``gen-ai-dev/1.42.0-dev`` (repository
semantic-conventions-genai; status "development"), with the older names of semantic-conventions up to v1.36.0
(``gen_ai.usage.prompt_tokens``, ``gen_ai.usage.completion_tokens``). ``client.address``, ``user_agent.original``,
``error.type``, ``user.id``, ``enduser.id``, ``enduser.pseudo.id`` and ``geo.country.iso_code`` are of the general
registry. Frames after OTLP/JSON (opentelemetry-proto 1.x, ``trace.proto``, ``logs.proto``).

Shapes: attributes flat at the top of a log line; under ``attributes`` as an object (the SDKs' JSON exporters);
under ``attributes`` as OTLP's list of keys and typed values; and a whole ``resourceSpans`` frame around exactly one
span. The conventions have no place for an embedding: it comes in the attribute ``distillwatch.embedding``, and
any other field of the contract may come as ``distillwatch.<field>`` likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import InvalidRecord, Reason
from pipeline.records.adapters.fields import (
    flag,
    merged,
    nanoseconds,
    network_of,
    own_fields,
    time_of_nanoseconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOURCES: Mapping[str, str] = {
    "request_id": "`gen_ai.response.id`, or the span's traceId and spanId",
    "account_id": "the attribute `user.id`, `enduser.id` or `enduser.pseudo.id`",
    "event_time": "startTimeUnixNano, timeUnixNano, start_time or timestamp",
    "embedding": "the attribute `distillwatch.embedding`",
}

# Field of the contract: attributes to read it from, the first that is there.
_PLAIN: Mapping[str, tuple[str, ...]] = {
    "account_id": ("user.id", "enduser.id", "enduser.pseudo.id"),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "operation": ("gen_ai.operation.name",),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "temperature": ("gen_ai.request.temperature",),
    "top_p": ("gen_ai.request.top_p",),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "choice_count": ("gen_ai.request.choice.count",),
    "stream": ("gen_ai.request.stream",),
    "user_agent": ("user_agent.original",),
    "country": ("geo.country.iso_code",),
}
_READ = {name for names in _PLAIN.values() for name in names} | {
    "gen_ai.response.id",
    "gen_ai.response.finish_reasons",
    "gen_ai.request.reasoning.level",
    "client.address",
    "error.type",
}
_FRAME = frozenset(
    {
        "attributes",
        "traceId",
        "spanId",
        "trace_id",
        "span_id",
        "context",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "timeUnixNano",
        "observedTimeUnixNano",
        "start_time",
        "end_time",
        "timestamp",
        "@timestamp",
        "time",
        "status",
        "name",
        "kind",
    }
)
_NANOSECONDS = ("startTimeUnixNano", "timeUnixNano", "observedTimeUnixNano")
_TIMES = ("start_time", "timestamp", "@timestamp", "time")
_REFUSALS = ("content_filter", "refusal")


def matches(message: Mapping[str, Any]) -> bool:
    """Whether a message has one of the shapes, by its keys alone."""
    if "resourceSpans" in message or "resourceLogs" in message:
        return True
    if any(name.startswith("gen_ai.") for name in message):
        return True
    attributes = message.get("attributes")
    if isinstance(attributes, dict):
        return any(name.startswith("gen_ai.") for name in attributes)
    if isinstance(attributes, list):
        return any(
            isinstance(item, dict) and isinstance(item.get("key"), str) and item["key"].startswith("gen_ai.")
            for item in attributes
        )
    return False


def adapt(message: dict[str, Any]) -> dict[str, Any]:
    """Fields of the contract out of one span, log record or flat line.

    Raises
    ------
    InvalidRecord
        If a frame holds no span or several.
    """
    span = _only_span(message)
    attributes = _attributes(span)
    mapped: dict[str, Any] = {
        field: next((attributes[name] for name in names if attributes.get(name) is not None), None)
        for field, names in _PLAIN.items()
    }
    start, end = _time(span, _NANOSECONDS), _time(span, ("endTimeUnixNano",))
    mapped["request_id"] = attributes.get("gen_ai.response.id") or _span_identity(span)
    mapped["event_time"] = start if start is None else time_of_nanoseconds(start)
    if start is None:
        mapped["event_time"] = next((span[name] for name in _TIMES if span.get(name) is not None), None)
    elif end is not None and end >= start:
        mapped["latency_ms"] = (end - start) // 1_000_000
    mapped["client_network"] = network_of(attributes.get("client.address"))
    mapped["reasoning_requested"] = flag(attributes.get("gen_ai.request.reasoning.level"))
    mapped["status"] = _status(span, attributes)
    mapped.update(own_fields(attributes))
    rest = {
        name: value
        for name, value in attributes.items()
        if name not in _READ and not name.startswith("distillwatch.")
    }
    if "body" in span:
        rest["body"] = span["body"]
    return merged(mapped, rest)


def _only_span(message: dict[str, Any]) -> dict[str, Any]:
    for outer, inner, items in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        if outer not in message:
            continue
        found = [
            item
            for resource in _objects(message[outer])
            for scope in _objects(resource.get(inner))
            for item in _objects(scope.get(items))
        ]
        if len(found) != 1:
            raise InvalidRecord(
                Reason.WRONG_TYPE,
                f"{outer} holds {len(found)} {items}; send one in each message (the collector's batch processor with "
                "send_batch_max_size 1, or split the export)",
            )
        return found[0]
    return message


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    attributes = span.get("attributes")
    if isinstance(attributes, dict):
        return attributes
    if isinstance(attributes, list):
        return {
            item["key"]: _value(item.get("value"))
            for item in _objects(attributes)
            if isinstance(item.get("key"), str)
        }
    return {name: value for name, value in span.items() if name not in _FRAME}


def _value(value: Any) -> Any:
    """The Python value of an OTLP ``AnyValue``; its 64-bit integers are decimal texts in JSON."""
    if not isinstance(value, dict):
        return value
    for kind, content in value.items():
        if kind == "intValue":
            return nanoseconds(content) if not _negative(content) else int(content)
        if kind == "arrayValue":
            values = content.get("values") if isinstance(content, dict) else None
            return [_value(item) for item in values] if isinstance(values, list) else []
        if kind == "kvlistValue":
            values = content.get("values") if isinstance(content, dict) else None
            return {str(item.get("key")): _value(item.get("value")) for item in _objects(values)}
        if kind in {"stringValue", "boolValue", "doubleValue", "bytesValue"}:
            return content
    return None


def _negative(content: Any) -> bool:
    return isinstance(content, str) and content[:1] == "-" and content[1:].isdigit() and len(content) <= 20


def _time(span: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    # OTLP writes 0 for an unknown time.
    return next((time for name in names if (time := nanoseconds(span.get(name)))), None)


def _span_identity(span: Mapping[str, Any]) -> str | None:
    context = span.get("context")
    places = [span, context] if isinstance(context, dict) else [span]
    for place in places:
        trace = place.get("traceId") or place.get("trace_id")
        identity = place.get("spanId") or place.get("span_id")
        if isinstance(identity, str):
            return f"{trace}-{identity}" if isinstance(trace, str) else identity
    return None


def _status(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> str | None:
    error = attributes.get("error.type")
    if error is not None:
        # `error.type` is an exception's name or a status code; codes say more and are kept.
        return error if isinstance(error, str) and error.isdigit() else "error"
    reasons = attributes.get("gen_ai.response.finish_reasons")
    for reason in reasons if isinstance(reasons, list) else [reasons]:
        if reason in _REFUSALS:
            return str(reason)
    status = span.get("status")
    code = status.get("code", status.get("status_code")) if isinstance(status, dict) else None
    if code in (2, "STATUS_CODE_ERROR", "ERROR", "Error"):  # a tuple: a list has no hash
        return "error"
    return "ok"
