"""What goes over the pipes: frames of one kind, a length and that many bytes; values as JSON with their types."""

from __future__ import annotations

import base64
import json
import math
import os
import struct
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEAD = struct.Struct("<cQ")
# Kinds of frames that a child sends.
READY, BATCHES, END, REFUSED, FAILED = b"R", b"B", b"E", b"X", b"F"
MOST_TEXT = 1 << 20
_READERS: dict[str, Callable[[str], object]] = {
    "float": float,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "bytes": base64.b64decode,
}
HEAD_BYTES = _HEAD.size


def head(data: bytes) -> tuple[bytes, int]:
    """Kind and length from a frame's first bytes."""
    kind, length = _HEAD.unpack(data)
    return kind, length


def write_frame(place: int, kind: bytes, payload: bytes | memoryview = b"") -> None:
    """Write one frame to a file descriptor."""
    for part in (_HEAD.pack(kind, len(payload)), payload):
        left = memoryview(part)
        while left:
            left = left[os.write(place, left) :]


def write_json(place: int, kind: bytes, document: Mapping[str, Any]) -> None:
    """Write one frame that is a JSON object."""
    write_frame(place, kind, json.dumps(document).encode())


def read_frame(place: int) -> tuple[bytes, bytes] | None:
    """Read one frame, waiting for it; None at the end of the pipe."""
    begin = _exactly(place, HEAD_BYTES)
    if begin is None:
        return None
    kind, length = head(begin)
    payload = _exactly(place, length)
    return None if payload is None else (kind, payload)


def _exactly(place: int, length: int) -> bytes | None:
    parts = []
    while length:
        part = os.read(place, min(length, 1 << 20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def pack(name: str, value: object) -> object:  # noqa: PLR0911 -- one return per kind of value
    """A value to bind, as JSON that still says what it was.

    Raises
    ------
    UsageError
        Values of this type cannot be bound.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(value).decode()}
        case list() | tuple():
            return [pack(name, each) for each in value]
    # numpy's scalars.
    if hasattr(value, "item"):
        return pack(name, value.item())
    msg = (
        f"parameter {name} is a {type(value).__name__}; what can be bound are text, numbers, booleans, "
        "times, bytes and lists of them"
    )
    raise UsageError(msg)


def unpack(value: Any) -> object:
    """The value that `pack` packed."""
    if isinstance(value, list):
        return [unpack(each) for each in value]
    if isinstance(value, dict):
        ((kind, text),) = value.items()
        return _READERS[kind](text)
    return value
