"""One message value to one `WireRecord`: the fast way, then the patient way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import InvalidRecord, Reason
from pipeline.records import ipc
from pipeline.records.adapters import AdapterName, adapt, recognise
from pipeline.records.interpret import parse_object, to_wire, unknown_names
from pipeline.records.wire import KNOWN, LenientRecord, WireRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.records.batch import UnknownFields

NOT_STRICT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what the fast way raises


class MessageReader:
    """Reads the messages of one call.

    Parameters
    ----------
    adapter
        Format of the JSON messages.
    max_message_bytes
        Longer messages are refused unread.
    unknown
        Told about the fields outside the contract of the messages that are taken.
    """

    def __init__(self, adapter: AdapterName, max_message_bytes: int, unknown: UnknownFields) -> None:
        self._adapter = adapter
        self._limit = max_message_bytes
        self._unknown = unknown
        self._native = adapter in {"native", "auto"}
        # Decoders for each call: they cost little, and calls may come from several threads.
        self._lenient = msgspec.json.Decoder(LenientRecord).decode
        self._names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def fast(self) -> Callable[[bytes], WireRecord] | None:
        """The decoder of plainly written native messages, if the format has such; it raises `NOT_STRICT`."""
        return msgspec.json.Decoder(WireRecord).decode if self._native else None

    def read(self, value: bytes | None) -> WireRecord | None:
        """The record in one message; None for an Arrow stream, which holds many.

        Raises
        ------
        InvalidRecord
            With the reason, the value at fault and the way out.
        """
        if value is None:
            raise InvalidRecord(Reason.NULL_VALUE, "the message has no value; send the record as value")
        if len(value) > self._limit:
            detail = (
                f"the message has {len(value)} bytes, at most {self._limit} are taken; "
                "send fewer records in one message, or raise max_message_bytes"
            )
            raise InvalidRecord(Reason.TOO_LARGE, detail)
        if ipc.is_stream(value):
            return None
        if self._native:
            try:
                record: WireRecord = self._lenient(value)
                unknown = [name for name in self._names(value) if name not in KNOWN]
            except NOT_STRICT:
                pass  # what is wrong, if anything, is found below
            else:
                self._unknown.add(unknown)
                return record
        message = parse_object(value)
        fields, sources = adapt(message, self._adapter)
        try:
            record = to_wire(fields, sources)
        except InvalidRecord as error:
            likely = recognise(message) if self._adapter == "native" else None
            if likely is None:
                raise
            detail = f"{error.message}; the message looks like {likely}: choose --format {likely} or auto"
            raise InvalidRecord(error.reason, detail) from None
        self._unknown.add(unknown_names(fields))
        return record
