"""The slow reading of one JSON message: lenient where that is safe, and precise about what is wrong.

Only messages that the fast path refuses come here. What this accepts, the fast path would have accepted too if
the message had been written in the plainest way, so a record means the same whichever way it took.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import TYPE_CHECKING, Any

from pipeline.errors import InvalidRecord, Reason
from pipeline.records.checks import BOOLEANS, INTEGERS, REALS, integer_out_of_range
from pipeline.records.hashes import HASH_FIELDS
from pipeline.records.limits import shorten
from pipeline.records.schema import REQUIRED
from pipeline.records.wire import FIELDS, KNOWN, WireRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Names under which gateways log prompts and completions. A record that has one of them and no embedding gets
# the way out that fits; their values are never kept, not even in a rejected record.
TEXT_FIELDS = frozenset(
    {
        "prompt",
        "prompts",
        "messages",
        "input",
        "inputs",
        "text",
        "content",
        "contents",
        "parts",
        "query",
        "question",
        "instruction",
        "instructions",
        "system",
        "system_prompt",
        "system_instruction",
        "completion",
        "completions",
        "response",
        "output",
        "outputs",
        "choices",
        "answer",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.request.messages",
        "gen_ai.response.messages",
    }
)

# OpenLLMetry's attributes, one for each message: gen_ai.prompt.0.content
_INDEXED_TEXT = re.compile(r"gen_ai\.(prompt|completion)\.\d")

_UTF8_BOM = b"\xef\xbb\xbf"


def parse_object(value: bytes) -> dict[str, Any]:
    """One JSON object out of a message.

    Raises
    ------
    InvalidRecord
        ``wrong_encoding``, ``not_json`` or ``not_an_object``.
    """
    body = value.removeprefix(_UTF8_BOM)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        if value[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            detail = "the message is UTF-16; send UTF-8"
        else:
            detail = (
                f"the message is not UTF-8 at byte {error.start} ({shorten(value[error.start : error.start + 4])}); "
                "send UTF-8 JSON or an Arrow IPC stream"
            )
        raise InvalidRecord(Reason.WRONG_ENCODING, detail) from None
    if not text.strip():
        raise InvalidRecord(Reason.NOT_JSON, "the message is empty; send one JSON object for each record")
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise InvalidRecord(
            Reason.NOT_JSON, "the JSON is nested too deeply to read; a record is one flat object"
        ) from None
    except json.JSONDecodeError as error:
        # What stands there is not quoted: it may be a prompt.
        detail = f"not JSON at character {error.pos} ({error.msg}); send one JSON object for each message"
        raise InvalidRecord(Reason.NOT_JSON, detail) from None
    except ValueError:
        # The interpreter refuses to convert integers of thousands of digits, whose cost is quadratic.
        raise InvalidRecord(
            Reason.NOT_JSON, "the JSON holds an integer of thousands of digits; send 64-bit numbers"
        ) from None
    if not isinstance(parsed, dict):
        detail = f"the JSON is {_kind(parsed)}, not an object; send one object for each message, without a list around"
        raise InvalidRecord(Reason.NOT_AN_OBJECT, detail)
    return parsed


def to_wire(fields: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> WireRecord:
    """A record from parsed fields, each checked for its type.

    Parameters
    ----------
    fields
        Names of the contract and others; the others are ignored.
    sources
        Where an adapter looked for the required fields, for the messages.

    Returns
    -------
    WireRecord
        With an embedding of bytes or floats, whose length nobody has looked at yet.

    Raises
    ------
    InvalidRecord
        For the first field, in the order of the contract, that cannot be taken.
    """
    for name in REQUIRED[:-1]:
        if fields.get(name) is None:
            raise InvalidRecord(Reason.MISSING_FIELD, _missing(name, fields, sources or {}))
    if fields.get("embedding") is None:
        raise _without_embedding(fields, sources or {})
    taken: dict[str, Any] = {}
    for name in FIELDS:
        value = fields.get(name)
        if value is None:
            continue
        taken[name] = _field(name, value)
    return WireRecord(**taken)


def unknown_names(fields: Mapping[str, Any]) -> list[str]:
    """Names that are not part of the contract."""
    return [name for name in fields if name not in KNOWN]


def _field(name: str, value: Any) -> Any:  # noqa: PLR0911 (one branch per kind of field)
    if name == "embedding":
        return _embedding(value)
    if name == "event_time":
        return _event_time(value)
    if name in BOOLEANS:
        if not isinstance(value, bool):
            raise _wrong_type(name, value, "true or false")
        return value
    if name in INTEGERS:
        return _integer(name, value)
    if name in REALS:
        return _real(name, value)
    if name in HASH_FIELDS:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise _wrong_type(name, value, "an unsigned 64-bit integer, or its decimal or 0x… text")
        return _text(name, value) if isinstance(value, str) else value
    if name == "status" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise _wrong_type(name, value, "a string")
    return _text(name, value)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(name, value, "an integer without quotes")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRecord(*integer_out_of_range(name, value))
        if name == "latency_ms":
            value = math.floor(value)  # gateways measure fractions; whole milliseconds are kept
        elif not value.is_integer():
            raise _wrong_type(name, value, "a whole number")
        value = int(value)
    if not -(2**63) <= value < 2**63:
        raise InvalidRecord(*integer_out_of_range(name, value))
    return int(value)


def _real(name: str, value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(name, value, "a number without quotes")
    try:
        return float(value)
    except OverflowError:
        raise InvalidRecord(
            Reason.OUT_OF_RANGE, f"{name} is {shorten(value)}; leave it out if unknown"
        ) from None


def _event_time(value: Any) -> str | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        name, wanted = "event_time", "RFC 3339 text (2026-01-31T12:00:00Z) or seconds since 1970"
        raise _wrong_type(name, value, wanted)
    return _text("event_time", value) if isinstance(value, str) else value


def _embedding(value: Any) -> bytes | list[float]:
    if isinstance(value, str):
        return decode_base64(value)
    if not isinstance(value, list):
        raise InvalidRecord(
            Reason.BAD_EMBEDDING,
            f"embedding is {_kind(value)} ({shorten(value)}); send a list of numbers, or base64 of the int8 values",
        )
    numbers: list[float] = []
    for place, number in enumerate(value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidRecord(
                Reason.BAD_EMBEDDING,
                f"embedding[{place}] is {_kind(number)} ({shorten(number)}); every value must be a number",
            )
        try:
            numbers.append(float(number))
        except OverflowError:
            numbers.append(math.inf if number > 0 else -math.inf)
    return numbers


def decode_base64(text: str) -> bytes:
    """Bytes of standard base64 with padding.

    Raises
    ------
    InvalidRecord
        ``bad_embedding``.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise InvalidRecord(
            Reason.BAD_EMBEDDING,
            f"embedding is a text of {len(text)} characters ({shorten(text, 24)}) that is not base64 ({error}); use "
            "standard base64 (+ and /, padded with =) of the int8 values, or a list of numbers",
        ) from None


def _text(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRecord(
            Reason.WRONG_ENCODING,
            f"{name} holds half a surrogate pair at character {error.start} ({value[error.start]!r}); "
            "send well-formed Unicode",
        ) from None
    return value


def _missing(name: str, fields: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    state = "null" if name in fields else "missing"
    if name in sources:
        return f"{name} is {state}; every record needs one, it is read from {sources[name]}"
    others = ", ".join(shorten(other, 40) for other in list(fields)[:8]) or "none at all"
    return f"{name} is {state}; every record needs one (fields here: {others})"


def is_text(name: str) -> bool:
    """Whether a field of this name holds prompts or answers."""
    return name in TEXT_FIELDS or _INDEXED_TEXT.match(name) is not None


def _without_embedding(fields: Mapping[str, Any], sources: Mapping[str, str]) -> InvalidRecord:
    texts = sorted(name for name in fields if is_text(name) and fields[name] not in (None, "", [], {}))
    if texts:
        return InvalidRecord(*text_without_embedding(texts))
    state = "null" if "embedding" in fields else "missing"
    return InvalidRecord(
        Reason.NO_EMBEDDING,
        (
            f"embedding is {state}; send a list of numbers or base64 of the int8 values in "
            f"{sources.get('embedding', '`embedding`')}"
        ),
    )


def text_without_embedding(names: Iterable[str]) -> tuple[Reason, str]:
    """Reason and detail for a record that has the prompt where the embedding should be."""
    detail = (
        f"there is text ({', '.join(names)}) but no embedding; run `distillwatch embed` over the log, or have the "
        "gateway send the embedding of the prompt instead of its text"
    )
    return Reason.TEXT_WITHOUT_EMBEDDING, detail


def _wrong_type(name: str, value: Any, wanted: str) -> InvalidRecord:
    return InvalidRecord(Reason.WRONG_TYPE, f"{name} is {_kind(value)} ({shorten(value)}); send {wanted}")


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a number with a fraction"),
    (list, "a list"),
    (dict, "an object"),
)


def _kind(value: Any) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")
