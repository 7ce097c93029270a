"""The headers of an Arrow IPC stream, read by hand before anything of it is decompressed or allocated.

A record batch states how long it is, and each compressed buffer states its uncompressed length in its first
eight bytes; a few kilobytes can so claim terabytes. Layout: Arrow columnar format 1.5, "Serialization and IPC"
(``Message.fbs``, ``Schema.fbs``), and the FlatBuffers internals for tables and vtables. Every access is checked
against the end of the metadata, since nobody has verified it yet.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pipeline.errors import InvalidRecord, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.records.limits import Limits

CONTINUATION = b"\xff\xff\xff\xff"
MAX_MESSAGES = 4096  # batches in one stream; each costs time whatever it holds

_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3  # the union MessageHeader


@dataclass(frozen=True, slots=True)
class Frame:
    """One encapsulated message: its kind and where its header and its body lie."""

    kind: int
    header: Table | None
    body: memoryview


@dataclass(frozen=True, slots=True)
class Table:
    """A FlatBuffers table inside ``data``, at ``position``."""

    data: memoryview
    position: int

    @classmethod
    def root(cls, data: memoryview) -> Table:
        """The table to which the first four bytes point."""
        return cls(data, _number("<I", data, 0))

    def number(self, field: int, form: str, default: int) -> int:
        """A scalar field."""
        at = self._field(field)
        return default if at is None else _number(form, self.data, at)

    def table(self, field: int) -> Table | None:
        """A field that is a table."""
        at = self._field(field)
        return None if at is None else Table(self.data, at + _number("<I", self.data, at))

    def structs(self, field: int, form: str) -> list[tuple[int, ...]]:
        """A field that is a vector of structs (or scalars) of one ``struct`` form."""
        at = self._field(field)
        if at is None:
            return []
        vector = at + _number("<I", self.data, at)
        count, size = _number("<I", self.data, vector), struct.calcsize(form)
        start = vector + 4
        if start + count * size > len(self.data):
            _malformed("a vector runs past the end of the metadata")
        return list(struct.iter_unpack(form, self.data[start : start + count * size]))

    def _field(self, field: int) -> int | None:
        vtable = self.position - _number("<i", self.data, self.position)
        if 4 + 2 * field + 2 > _number("<H", self.data, vtable):
            return None
        offset = _number("<H", self.data, vtable + 4 + 2 * field)
        return self.position + offset if offset else None


def check_headers(value: bytes, limits: Limits) -> None:
    """Refuse a stream that is not one, or whose headers claim more than the limits.

    Raises
    ------
    InvalidRecord
        ``not_arrow`` or ``arrow_bomb``.
    """
    rows = held = 0
    for place, frame in enumerate(_frames(value)):
        if (frame.kind == _SCHEMA) != (place == 0):
            _malformed("it must begin with a schema and hold no second one; send one stream in one message")
        if frame.kind == _SCHEMA:
            continue
        batch = _batch(frame)
        length = batch.number(0, "<q", 0)
        if frame.kind == _RECORDS:
            rows += length
        if not 0 <= length <= limits.max_uncompressed_bytes or rows > limits.max_rows:
            _bomb(f"it claims {max(rows, length)} rows, at most {limits.max_rows} are taken")
        for node_length, nulls in batch.structs(1, "<qq"):
            # A null or run-length node needs no byte for its length; nothing real is longer than the byte limit.
            if not 0 <= node_length <= limits.max_uncompressed_bytes or not -1 <= nulls <= node_length:
                _bomb(f"a column claims {node_length} values, {nulls} of them null")
        held += _claimed_bytes(batch, frame.body, limits)
        if held > limits.max_uncompressed_bytes:
            _bomb(f"it claims {held} uncompressed bytes, at most {limits.max_uncompressed_bytes} are taken")


def claimed_rows(value: bytes) -> int:
    """Rows that the headers of a message value claim; 0 if it is no readable stream, whose rows nobody will see."""
    if not value.startswith(CONTINUATION):
        return 0
    try:
        return sum(_batch(frame).number(0, "<q", 0) for frame in _frames(value) if frame.kind == _RECORDS)
    except InvalidRecord:
        return 0


def _batch(frame: Frame) -> Table:
    batch = frame.header
    if frame.kind == _DICTIONARY and batch is not None:
        batch = batch.table(1)
    elif frame.kind != _RECORDS:
        _malformed(f"it holds a message of kind {frame.kind}; only record batches are taken")
    if batch is None:
        _malformed("a message has no header")
    return batch


def _claimed_bytes(batch: Table, body: memoryview, limits: Limits) -> int:
    compressed = batch.table(3) is not None
    total = 0
    for offset, length in batch.structs(2, "<qq"):
        if offset < 0 or length < 0 or offset + length > len(body):
            _malformed(f"a buffer lies at {offset} with {length} bytes, outside the body of {len(body)}")
        claimed = length
        if compressed and length:
            if length < 8:
                _malformed(f"a compressed buffer has {length} bytes, too few for its length")
            claimed = _number("<q", body, offset)
            if claimed == -1:  # this buffer is not compressed after all
                claimed = length - 8
            elif not 0 <= claimed <= limits.max_uncompressed_bytes:
                _bomb(f"a compressed buffer of {length} bytes claims {claimed}")
        total += claimed
    return total


def _frames(value: bytes) -> Iterator[Frame]:
    data = memoryview(value)
    at, count = 0, 0
    while at < len(data):
        if data[at : at + 4] != CONTINUATION or at + 8 > len(data):
            _malformed(f"no message begins at byte {at}")
        size = _number("<i", data, at + 4)
        at += 8
        if size == 0:
            if at < len(data):
                _malformed(f"{len(data) - at} bytes follow its end; send one stream in one message")
            return
        if size < 0 or at + size > len(data):
            _malformed(f"it breaks off: metadata of {size} bytes at byte {at} of {len(data)}")
        message = Table.root(data[at : at + size])
        at += size
        body = message.number(3, "<q", 0)
        if body < 0 or at + body > len(data):
            _malformed(f"it breaks off: a body of {body} bytes at byte {at} of {len(data)}")
        count += 1
        if count > MAX_MESSAGES:
            _bomb(f"it holds more than {MAX_MESSAGES} batches")
        yield Frame(message.number(1, "<B", 0), message.table(2), data[at : at + body])
        at += body


def _number(form: str, data: memoryview, at: int) -> int:
    size = struct.calcsize(form)
    if at < 0 or at + size > len(data):
        _malformed("its metadata points outside itself")
    value: int = struct.unpack_from(form, data, at)[0]
    return value


def _malformed(what: str) -> NoReturn:
    raise InvalidRecord(
        Reason.NOT_ARROW,
        f"not a readable Arrow IPC stream: {what}; write it with an Arrow library's stream writer",
    )


def _bomb(what: str) -> NoReturn:
    raise InvalidRecord(
        Reason.ARROW_BOMB,
        f"the Arrow stream is not opened: {what}; send smaller batches, or raise the limits",
    )
