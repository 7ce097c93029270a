"""What is kept of a rejected message: enough to find the fault and send it again, but no prompt text.

A message is kept byte for byte unless it holds text or, with pseudonyms, identifiers. Then the JSON is written
again with those values replaced. Of bytes that cannot be read, what lies before the first name of a text field is
kept; with pseudonyms, nothing: nobody can say whom they name. ``raw_bytes`` always tells the true length.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import InvalidRecord
from pipeline.records import ipc
from pipeline.records.interpret import TEXT_FIELDS, is_text, parse_object
from pipeline.records.limits import DEFAULT_MAX_MESSAGE_BYTES, MAX_RAW_BYTES, MAX_TEXT_BYTES
from pipeline.records.pseudonyms import PREFIXES
from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from pipeline.records.pseudonyms import Pseudonyms

_LONGEST_PLAIN = 64
_LARGEST_READ = DEFAULT_MAX_MESSAGE_BYTES
# In bytes that cannot be read, text begins after one of its names: as a JSON key, or as a column in a schema.
_NAMES = b"|".join(re.escape(name).encode() for name in sorted(TEXT_FIELDS))
_TEXT_KEY = re.compile(rb'"(?:' + _NAMES + rb')(?:\.\d[^"]*)?"\s*:')
_QUOTED = re.compile(r" \(.*\);", re.DOTALL)
_TEXT_COLUMN = re.compile(rb"(?<![\w.])(?:" + _NAMES + rb")\0")
_MAX_DEPTH = 8


def kept_message(value: bytes, pseudonyms: Pseudonyms | None) -> bytes:
    """What is kept of a JSON message, at most 64 KiB."""
    if len(value) <= _LARGEST_READ:
        try:
            fields = parse_object(value)
            clean = {name: _clean(name, item, pseudonyms, 0) for name, item in fields.items()}
        except (InvalidRecord, RecursionError):
            pass
        else:
            if clean != fields:
                value = json.dumps(clean, separators=(",", ":")).encode()
            return value[:MAX_RAW_BYTES]
    if pseudonyms is not None:
        return b""
    return _before(_TEXT_KEY, value[:MAX_RAW_BYTES])


def kept_stream(value: bytes, pseudonyms: Pseudonyms | None) -> bytes:
    """What is kept of an Arrow message that was refused as a whole."""
    return b"" if pseudonyms is not None else _before(_TEXT_COLUMN, value[:MAX_RAW_BYTES])


def _before(pattern: re.Pattern[bytes], value: bytes) -> bytes:
    found = pattern.search(value)
    return value if found is None else value[: found.start()]


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


def without_identifiers(detail: str) -> str:
    """A detail that quotes no identifier, for lakes with pseudonyms."""
    return _QUOTED.sub(";", detail) if detail.startswith(tuple(PREFIXES)) else detail


def _clean(name: str, value: Any, pseudonyms: Pseudonyms | None, depth: int) -> Any:
    if pseudonyms is not None and _may_identify(name, value):
        return _placeholder(value)
    if depth > _MAX_DEPTH or (is_text(name) and value is not None):
        return _placeholder(value)
    if isinstance(value, dict):
        return {key: _clean(key, item, pseudonyms, depth + 1) for key, item in value.items()}
    if isinstance(value, list) and name != "embedding":
        return [_clean(name, item, pseudonyms, depth + 1) for item in value]
    return _clean_text(name, value, pseudonyms) if isinstance(value, str) and name != "embedding" else value


def _may_identify(name: str, value: Any) -> bool:
    """Whether a value other than a plain field of the contract could name somebody."""
    if name in PREFIXES:
        return value is not None and not isinstance(value, str)
    if name == "embedding":
        return False
    return isinstance(value, dict | list) or (name not in KNOWN and isinstance(value, str))


def _clean_text(name: str, value: str, pseudonyms: Pseudonyms | None) -> str:
    if name in KNOWN:
        if name in PREFIXES and pseudonyms is not None:
            return pseudonyms.one(name, value)
        return value if len(value) <= MAX_TEXT_BYTES else _placeholder(value)
    # Under an unknown name, what has blanks or is long may be anything, and a person's words most likely.
    suspicious = len(value) > _LONGEST_PLAIN or any(character.isspace() for character in value)
    return _placeholder(value) if suspicious else value


def _placeholder(value: Any) -> str:
    if isinstance(value, str):
        return f"<{len(value)} characters, not kept>"
    return "<not kept>"
