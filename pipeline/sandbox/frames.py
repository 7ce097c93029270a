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
# Characters of a query, and bytes of all its parameters as JSON: both are written into the record.
MOST_TEXT = 1 << 20
MOST_PARAMETERS = 8 << 20
# DuckDB's widest integer has 128 bits.
_WIDEST = 128
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


def read_frame(place: int, most: int | None = None) -> tuple[bytes, bytes] | None:
    """Read one frame, waiting for it; None at the end of the pipe.

    Raises
    ------
    ValueError
        It says of itself that it is longer than ``most`` bytes. Nothing of it was read.
    """
    begin = _exactly(place, HEAD_BYTES)
    if begin is None:
        return None
    kind, length = head(begin)
    if most is not None and length > most:
        msg = f"a frame of {length} bytes"
        raise ValueError(msg)
    payload = _exactly(place, length)
    return None if payload is None else (kind, payload)


def _exactly(place: int, length: int) -> bytes | None:
    parts = []
    while length:
        try:
            part = os.read(place, min(length, 1 << 20))
        except ConnectionResetError:
            # The other end went with something unread.
            return None
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def check_text(what: str, text: str, *, nul: bool = False) -> None:
    """Refuse what is no text: DuckDB 1.5 ends a statement at a zero byte, and no version has half characters.

    Raises
    ------
    UsageError
        There is a zero byte (unless ``nul``), or half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{what} is not Unicode text: {text[error.start : error.end]!r} at character {error.start + 1}"
        raise UsageError(msg) from error
    if not nul and (place := text.find("\0")) >= 0:
        msg = f"{what} has a zero byte at character {place + 1}; write chr(0) where one is meant"
        raise UsageError(msg)


def pack_all(values: Mapping[str, object]) -> dict[str, object]:
    """A query's parameters, packed.

    Raises
    ------
    UsageError
        One of them cannot be bound, or they are too large together.
    """
    for name in values:
        check_text("the name of a parameter", name)
    packed = {name: pack(name, value) for name, value in values.items()}
    size = len(json.dumps(packed))
    if size > MOST_PARAMETERS:
        msg = f"the parameters take {size >> 20} MiB; {MOST_PARAMETERS >> 20} are the most"
        raise UsageError(msg)
    return packed


def pack(name: str, value: object) -> object:  # noqa: PLR0911 -- one return per kind of value
    """A value to bind, as JSON that still says what it was.

    Raises
    ------
    UsageError
        Values of this type cannot be bound.
    """
    match value:
        case None | bool():
            return value
        case int():
            if value.bit_length() > _WIDEST:
                msg = f"parameter {name} has {value.bit_length()} bits; integers up to {_WIDEST} bits can be bound"
                raise UsageError(msg)
            return value
        case str():
            check_text(f"parameter {name}", value, nul=True)
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
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
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
