"""What is kept of a rejected message: enough to find the fault and send it again, but no prompt text.

A message is kept byte for byte unless it holds text or, with pseudonyms, identifiers. Then the JSON is written
again with those values replaced. With pseudonyms, bytes that cannot be read are not kept at all: nobody can say
whom they name. ``raw_bytes`` always tells the true length.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import InvalidRecord
from pipeline.records import ipc
from pipeline.records.interpret import is_text, parse_object
from pipeline.records.limits import MAX_RAW_BYTES, MAX_TEXT_BYTES
from pipeline.records.pseudonyms import PREFIXES
from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from pipeline.records.pseudonyms import Pseudonyms

_LONGEST_PLAIN = 64
_MAX_DEPTH = 8


def kept_message(value: bytes, pseudonyms: Pseudonyms | None) -> bytes:
    """What is kept of a JSON message, at most 64 KiB."""
    try:
        fields = parse_object(value)
        clean = {name: _clean(name, item, pseudonyms, 0) for name, item in fields.items()}
        if clean != fields:
            value = json.dumps(clean, separators=(",", ":")).encode()
    except (InvalidRecord, RecursionError):
        if pseudonyms is not None:
            return b""
    return value[:MAX_RAW_BYTES]


def kept_stream(value: bytes, pseudonyms: Pseudonyms | None) -> bytes:
    """What is kept of an Arrow message that was refused as a whole."""
    return b"" if pseudonyms is not None else value[:MAX_RAW_BYTES]


def kept_row(table: pa.Table, row: int, pseudonyms: Pseudonyms | None) -> tuple[bytes, int]:
    """One row as an IPC stream of the contract's columns, and its length before it was cut."""
    one = table.slice(row, 1)
    names, columns = [], []
    for name, column in zip(one.column_names, one.columns, strict=True):
        if name not in KNOWN:
            continue
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)  # noqa: PLW2901 (else the whole dictionary is written)
        if pseudonyms is not None and name in PREFIXES:
            text = column[0].as_py() if pa.types.is_string(column.type) else None
            column = pa.chunked_array([[None if text is None else pseudonyms.one(name, text)]], pa.string())  # noqa: PLW2901
        names.append(name)
        columns.append(column)
    raw = ipc.write_stream(pa.table(columns, names=names))
    return raw[:MAX_RAW_BYTES], len(raw)


def _clean(name: str, value: Any, pseudonyms: Pseudonyms | None, depth: int) -> Any:
    if depth > _MAX_DEPTH or (is_text(name) and value is not None):
        return _placeholder(value)
    if isinstance(value, dict):
        return {key: _clean(key, item, pseudonyms, depth + 1) for key, item in value.items()}
    if isinstance(value, list) and name != "embedding":
        return [_clean(name, item, pseudonyms, depth + 1) for item in value]
    if isinstance(value, str):
        if name in PREFIXES and pseudonyms is not None:
            return pseudonyms.one(name, value)
        if name == "embedding":
            return value
        if name in KNOWN:
            return value if len(value) <= MAX_TEXT_BYTES else _placeholder(value)
        if len(value) > _LONGEST_PLAIN or any(character.isspace() for character in value):
            return _placeholder(value)
    return value


def _placeholder(value: Any) -> str:
    if isinstance(value, str):
        return f"<{len(value)} characters, not kept>"
    return "<not kept>" if isinstance(value, dict | list) else str(value)[:_LONGEST_PLAIN]
