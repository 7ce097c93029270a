"""LiteLLM's StandardLoggingPayload, as its callbacks and log exporters write it.

Names after ``StandardLoggingPayload``, ``StandardLoggingMetadata`` and ``StandardLoggingUserAPIKeyMetadata`` in
``litellm/types/utils.py`` of LiteLLM 1.7x and the page "StandardLoggingPayload Specification" of its documentation.
The object itself is taken, or a log line that has it under ``standard_logging_object``.

The account is the user of the virtual key, or the key's hash where keys belong to nobody in particular (LiteLLM
then says ``default_user_id``). The payload has no place for an embedding: it comes as ``distillwatch.embedding``,
at the top, in ``metadata``, or in the metadata that the requester sent or that spend logs carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from pipeline.records.adapters.fields import PREFIX, flag, merged, network_of, own_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES: Mapping[str, str] = {
    "request_id": "`id`",
    "account_id": "metadata `user_api_key_user_id` or `user_api_key_hash`, or `end_user`",
    "event_time": "`startTime`",
    "embedding": "`distillwatch.embedding`, at the top or in the metadata",
}

_FRAME = "standard_logging_object"
_NOBODY = frozenset({"", "default_user_id"})  # LiteLLM's user of keys that were made without one
_OPERATIONS = {
    "completion": "chat",
    "acompletion": "chat",
    "text_completion": "text_completion",
    "atext_completion": "text_completion",
    "embedding": "embeddings",
    "aembedding": "embeddings",
}
_READ = frozenset(
    {
        "id",
        "call_type",
        "stream",
        "status",
        "status_fields",
        "prompt_tokens",
        "completion_tokens",
        "startTime",
        "endTime",
        "response_time",
        "model",
        "metadata",
        "end_user",
        "requester_ip_address",
        "error_information",
        "model_parameters",
    }
)


def matches(message: Mapping[str, Any]) -> bool:
    """Whether a message is such a payload, by keys that no other format has together."""
    if isinstance(message.get(_FRAME), dict):
        return True
    return (
        "startTime" in message
        and "id" in message
        and ("call_type" in message or "model_parameters" in message)
    )


def adapt(message: dict[str, Any]) -> dict[str, Any]:
    """Fields of the contract out of one payload."""
    framed = message.get(_FRAME)
    payload: Mapping[str, Any] = framed if isinstance(framed, dict) else message
    metadata = _object(payload, "metadata")
    parameters = _object(payload, "model_parameters")
    mapped: dict[str, Any] = {
        "request_id": payload.get("id"),
        "account_id": _account(payload, metadata),
        "event_time": payload.get("startTime"),
        "model": payload.get("model"),
        "operation": _operation(payload.get("call_type")),
        "input_tokens": payload.get("prompt_tokens"),
        "output_tokens": payload.get("completion_tokens"),
        "temperature": parameters.get("temperature"),
        "top_p": parameters.get("top_p"),
        "max_tokens": _first(parameters, "max_tokens", "max_completion_tokens", "max_output_tokens"),
        "choice_count": parameters.get("n"),
        "logprobs": flag(_first(parameters, "logprobs", "top_logprobs")),
        "stream": flag(
            _first(payload, "stream") if payload.get("stream") is not None else parameters.get("stream")
        ),
        "reasoning_requested": _reasoning(parameters),
        "client_network": network_of(
            _first(payload, "requester_ip_address") or metadata.get("requester_ip_address")
        ),
        "organization_id": _first(metadata, "user_api_key_org_id", "user_api_key_team_id"),
        "status": _status(payload),
        "latency_ms": _latency(payload),
    }
    for place in (
        _object(metadata, "spend_logs_metadata"),
        _object(metadata, "requester_metadata"),
        metadata,
        payload,
        message,
    ):
        mapped.update(own_fields(place))
    rest = {
        name: value for name, value in payload.items() if name not in _READ and not name.startswith(PREFIX)
    }
    return merged(mapped, rest)


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _first(holder: Mapping[str, Any], *names: str) -> Any:
    return next((holder[name] for name in names if holder.get(name) is not None), None)


def _account(payload: Mapping[str, Any], metadata: Mapping[str, Any]) -> Any:
    user = metadata.get("user_api_key_user_id")
    if user is not None and not (isinstance(user, str) and user in _NOBODY):
        return user
    return _first(metadata, "user_api_key_hash") or payload.get("end_user") or None


def _operation(call_type: Any) -> Any:
    return _OPERATIONS.get(call_type, call_type) if isinstance(call_type, str) else call_type


def _reasoning(parameters: Mapping[str, Any]) -> bool | None:
    effort = flag(parameters.get("reasoning_effort"))
    thinking = parameters.get("thinking")
    if isinstance(thinking, dict):
        return thinking.get("type") == "enabled"
    return effort


def _status(payload: Mapping[str, Any]) -> Any:
    fields = _object(payload, "status_fields")
    if fields.get("guardrail_status") == "guardrail_intervened":
        return "content_filter"
    status = payload.get("status")
    if status == "failure":
        code = _object(payload, "error_information").get("error_code")
        if isinstance(code, str | int) and not isinstance(code, bool) and str(code).isdigit():
            return str(code)
    return status


def _latency(payload: Mapping[str, Any]) -> int | None:
    """Whole milliseconds from start to end; ``response_time`` is the time to the first token when streaming."""
    start, end, total = payload.get("startTime"), payload.get("endTime"), payload.get("response_time")
    if _number(start) and _number(end) and end >= start:
        return round((end - start) * 1000)
    return round(total * 1000) if _number(total) and total >= 0 else None


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
