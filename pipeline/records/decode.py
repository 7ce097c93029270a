"""Bytes from a log to records and rejected records: one function for Kafka messages, one for table rows.

The result of a record depends on its bytes, its position and its append time, never on what was decoded with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import InvalidRecord, UsageError
from pipeline.records import arrow_rows, ipc, json_columns
from pipeline.records.adapters import ADAPTERS, AdapterName
from pipeline.records.batch import Batch, Rejections, UnknownFields
from pipeline.records.checks import check_batch
from pipeline.records.hashes import HASH_FIELDS, PUBLIC_KEY, HashMixer
from pipeline.records.kept import kept_message, kept_row, kept_stream, without_identifiers
from pipeline.records.limits import (
    DEFAULT_MAX_FUTURE_SECONDS,
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_MAX_ROWS,
    DEFAULT_MAX_UNCOMPRESSED_BYTES,
    MAX_RAW_BYTES,
    Limits,
)
from pipeline.records.pseudonyms import PREFIXES
from pipeline.records.reading import NOT_STRICT, MessageReader
from pipeline.records.schema import Decoded, record_schema
from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.records.pseudonyms import Pseudonyms
    from pipeline.records.wire import WireRecord
    from pipeline.spaces import EmbeddingSpace


# A few hundred bytes can be an Arrow message of 65,536 bad rows; what is kept of them is at most so many times as
# long as the message (and 64 KiB anyway). Rows past that are rejected like the others, with an empty ``raw``.
_KEPT_TIMES = 4
# So many rows of one Arrow message may be rejected one by one, or one for so many bytes of it. No message with
# embeddings in it has more rows; one of a few hundred bytes can claim 65,536, and a log can hold thousands of them.
_REJECTED_ROWS = 4096
_BYTES_PER_REJECTED_ROW = 256
_MISSES = 32  # messages that the fast way may refuse before it is asked whether it pays


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, their positions, and the names of the columns that are not in it."""

    table: pa.Table
    others: list[str]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    append_time: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be kept of the rejected rows of one Arrow message."""

    rows: int
    kept_bytes: int

    @classmethod
    def of(cls, value: bytes) -> Budget:
        """For a message value."""
        return cls(
            max(_REJECTED_ROWS, len(value) // _BYTES_PER_REJECTED_ROW),
            max(MAX_RAW_BYTES, _KEPT_TIMES * len(value)),
        )


class RecordDecoder:
    """Decodes records of one embedding space.

    Parameters
    ----------
    space
        Embedding space of the lake; records of another are rejected.
    pseudonyms
        Replaces account, organisation, payment and network by keyed pseudonyms, and keys the content hashes.
        None: they stay as they are, and the hashes are mixed with a public constant.
    max_message_bytes
        Longer messages are rejected unread.
    max_future_seconds
        How far an event time may lie after the append time.
    max_rows, max_uncompressed_bytes
        Bounds of one Arrow message, checked on its headers before anything is decompressed.
    adapter
        Format of the JSON messages: ``native`` (the contract), ``otel``, ``litellm``, or ``auto``: native first,
        and a message that is not is looked at for the shape of the others.
    """

    def __init__(
        self,
        space: EmbeddingSpace,
        *,
        pseudonyms: Pseudonyms | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        max_future_seconds: float = DEFAULT_MAX_FUTURE_SECONDS,
        max_rows: int = DEFAULT_MAX_ROWS,
        max_uncompressed_bytes: int = DEFAULT_MAX_UNCOMPRESSED_BYTES,
        adapter: AdapterName = "native",
    ) -> None:
        if adapter not in ADAPTERS:
            msg = f"format {adapter!r} is not known; choose one of {', '.join(ADAPTERS)}"
            raise UsageError(msg)
        self.space = space
        self.pseudonyms = pseudonyms
        self.max_future_seconds = max_future_seconds
        self.limits = Limits(max_message_bytes, max_rows, max_uncompressed_bytes)
        self.adapter = adapter
        self._mixer = HashMixer(PUBLIC_KEY if pseudonyms is None else pseudonyms.hash_key)

    def decode_messages(
        self,
        values: Sequence[bytes | None],
        *,
        topic_id: str,
        topic: str,
        partition: int,
        offsets: NDArray[np.int64],
        append_times: NDArray[np.int64] | None = None,
    ) -> Decoded:
        """Records of Kafka messages: each value is one JSON object or one Arrow IPC stream.

        Parameters
        ----------
        values
            Message values.
        topic_id, topic, partition
            Where they come from.
        offsets
            int64 ``[n]``, ascending.
        append_times
            int64 ``[n]``, milliseconds since 1970, negative where the log has none; None: event times have no
            bound but the year 9999.

        Returns
        -------
        Decoded
            Good and rejected records in order of position.
        """
        offsets = np.ascontiguousarray(offsets, np.int64)
        if len(offsets) != len(values) or (append_times is not None and len(append_times) != len(values)):
            given = "none" if append_times is None else len(append_times)
            msg = (
                f"{len(values)} values, {len(offsets)} offsets, {given} append times: the numbers must agree"
            )
            raise ValueError(msg)
        rejections = Rejections(topic_id, topic, partition)
        unknown = UnknownFields()
        records, at, streams = self._read(values, offsets, rejections, unknown)
        tables = []
        if records:
            index = np.array(at, np.intp)
            known = None if append_times is None else append_times[index]
            batch = json_columns.to_batch(records, offsets[index], known)
            check_batch(batch, self.space, self.max_future_seconds)
            json_columns.fill_embedding(batch, records, self.space)

            def raw_of(row: int) -> tuple[bytes, int]:
                value = values[at[row]] or b""
                return kept_message(value, self.pseudonyms), len(value)

            tables.append(self._finish(batch, rejections, raw_of))
        for i in streams:
            append_time = None if append_times is None else int(append_times[i])
            table = self._stream(values[i] or b"", int(offsets[i]), append_time, rejections, unknown)
            if table is not None:
                tables.append(table)
        if not tables:
            table = record_schema(self.space).empty_table()
        elif len(tables) == 1:
            table = tables[0]
        else:
            table = pa.concat_tables(tables).sort_by([("offset", "ascending"), ("row", "ascending")])
        return Decoded(table, rejections.table(), unknown.counts)

    def _read(
        self,
        values: Sequence[bytes | None],
        offsets: NDArray[np.int64],
        rejections: Rejections,
        unknown: UnknownFields,
    ) -> tuple[list[WireRecord], list[int], list[int]]:
        """JSON records, the places they came from, and the places of Arrow streams."""
        records: list[WireRecord] = []
        at: list[int] = []
        streams: list[int] = []
        limit = self.limits.max_message_bytes
        reader = MessageReader(self.adapter, limit, unknown)
        fast = reader.fast()
        misses = 0
        for i, value in enumerate(values):
            if fast is not None and value is not None and len(value) <= limit:
                try:
                    records.append(fast(value))
                except NOT_STRICT:
                    # A log whose every message has some field of its own: the patient way alone is quicker then,
                    # and reads the same.
                    misses += 1
                    fast = fast if misses < _MISSES or misses * 2 < i else None
                else:
                    at.append(i)
                    continue
            try:
                record = reader.read(value)
            except InvalidRecord as error:
                kept, length = kept_message(value or b"", self.pseudonyms), len(value or b"")
                rejections.add(int(offsets[i]), 0, error.reason, self._detail(error.message), kept, length)
                continue
            if record is None:
                streams.append(i)
            else:
                records.append(record)
                at.append(i)
        return records, at, streams

    def decode_rows(
        self,
        table: pa.Table,
        *,
        topic_id: str,
        topic: str,
        first_offset: int,
        append_time: int | None = None,
        unread: Sequence[str] = (),
    ) -> Decoded:
        """Records of table rows (Parquet): row i has offset ``first_offset + i``, partition 0.

        Parameters
        ----------
        table
            Columns of the contract; others are left out and counted, once for every row.
        unread
            Names of columns that the table's source has but the reader did not hand over.
        append_time
            Milliseconds since 1970 against which event times are bound; None: no bound but the year 9999.

        Raises
        ------
        UsageError
            If a column has a type that cannot be taken: all rows share it, and one message says it better.
        """
        n = len(table)
        rejections, unknown = Rejections(topic_id, topic, 0), UnknownFields()
        offsets = np.arange(first_offset, first_offset + n, dtype=np.int64)
        names = table.column_names
        known = table.select([i for i, name in enumerate(names) if name in KNOWN])
        others = [*(name for name in names if name not in KNOWN), *unread]
        rows = Rows(known, others, offsets, np.zeros(n, np.int32), append_time)
        try:
            for field in known.schema:
                ipc.check_type(field)
            records = self._table(rows, rejections, unknown, None)
        except InvalidRecord as error:
            msg = f"{topic}: {error.message}"
            raise UsageError(msg) from None
        return Decoded(records, rejections.table(), unknown.counts)

    def _stream(
        self,
        value: bytes,
        offset: int,
        append_time: int | None,
        rejections: Rejections,
        unknown: UnknownFields,
    ) -> pa.Table | None:
        try:
            table, others = ipc.read_stream(value, self.limits)
            n = len(table)
            rows = Rows(
                table, others, np.full(n, offset, np.int64), np.arange(n, dtype=np.int32), append_time
            )
            return self._table(rows, rejections, unknown, Budget.of(value))
        except InvalidRecord as error:
            kept = kept_stream(value, self.pseudonyms)
            rejections.add(offset, 0, error.reason, error.message, kept, len(value))
            return None

    def _table(
        self, rows: Rows, rejections: Rejections, unknown: UnknownFields, budget: Budget | None
    ) -> pa.Table:
        """Records of a table; raises before it has noted anything if the table as a whole cannot be taken.

        ``budget`` bounds its rejected rows and the bytes kept of them; past the first it is rejected as one.
        """
        table, n = rows.table, len(rows.table)
        append_times = None if rows.append_time is None else np.full(n, rows.append_time, np.int64)
        batch = arrow_rows.to_batch(table, offsets=rows.offsets, rows=rows.rows, append_times=append_times)
        check_batch(batch, self.space, self.max_future_seconds)
        arrow_rows.fill_embedding(batch, table, rows.others, self.space)
        if budget is not None and len(batch.faults) > budget.rows:
            row = min(batch.faults)
            reason, detail = batch.faults[row]
            msg = (
                f"{len(batch.faults)} of {n} rows cannot be taken, and only {budget.rows} are kept one by one: the message is "
                f"rejected as one. The first is row {row}: {self._detail(detail)}"
            )
            raise InvalidRecord(reason, msg)
        unknown.add(arrow_rows.unknown_columns(rows.others), n)
        left = None if budget is None else budget.kept_bytes

        def raw_of(row: int) -> tuple[bytes, int]:
            nonlocal left
            if left is not None and left <= 0:
                return b"", 0
            kept, length = kept_row(table, row, self.pseudonyms)
            left = None if left is None else left - len(kept)
            return kept, length

        return self._finish(batch, rejections, raw_of)

    def _detail(self, detail: str) -> str:
        return detail if self.pseudonyms is None else without_identifiers(detail)

    def _finish(
        self, batch: Batch, rejections: Rejections, raw_of: Callable[[int], tuple[bytes, int]]
    ) -> pa.Table:
        for row, (reason, detail) in sorted(batch.faults.items()):
            kept, length = raw_of(row)
            position = int(batch.offsets[row]), int(batch.rows[row])
            rejections.add(*position, reason, self._detail(detail), kept, length)
        for name in HASH_FIELDS:
            column = batch.columns.get(name)
            if column is not None:
                mixed = self._mixer.mix(name, column.fill_null(0).to_numpy(zero_copy_only=False))
                mask = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
                batch.columns[name] = pa.array(mixed, pa.uint64(), mask=mask)
        if self.pseudonyms is not None:
            for name in PREFIXES:
                if name in batch.columns:
                    batch.columns[name] = self.pseudonyms.column(name, batch.columns[name])
        return batch.records(self.space, rejections.topic_id, rejections.topic, rejections.partition)
