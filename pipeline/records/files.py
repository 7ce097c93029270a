r"""Logs in files: JSON lines (plain, gzip, bzip2, zstd) and Parquet, in bounded memory, resumable at a row.

A file is a partition: its ``topic_id`` is ``file-`` and the BLAKE2b-128 of its bytes, so the same file landed
twice is the same chain wherever it lies, and a changed one is another.

Rows count from 0. In JSON lines a row is a physical line, ended by ``\n``; blank lines hold no record and are
passed over, **but are counted**: the row is what an editor calls the line number, less one. In Parquet
it is the row over all row groups.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import Reason, UsageError
from pipeline.records.batch import Rejections
from pipeline.records.kept import kept_message
from pipeline.records.limits import DEFAULT_MAX_MESSAGE_BYTES, MAX_RAW_BYTES, shorten
from pipeline.records.lines import DAMAGED, LongLine, open_bytes, read_lines
from pipeline.records.schema import Decoded
from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.records.decode import RecordDecoder

DEFAULT_BATCH_ROWS = 8192
_PARQUET_MAGIC = b"PAR1"
_ARROW_MAGIC = b"ARROW1"
_PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
_BATCH_BYTES = 32 * 1024 * 1024  # a batch of lines ends here even if it has few


class LogFile(ABC):
    """A log file, opened once and hashed; iterate over it as often as needed.

    Parameters
    ----------
    path
        The file.
    topic_id
        ``file-<32 hexadecimal digits>``.
    rows
        Number of rows, where the format says so without reading it all.
    """

    def __init__(self, path: Path, topic_id: str, rows: int | None) -> None:
        self.path = path
        self.topic_id = topic_id
        self.topic = path.name
        self.rows = rows
        self._state = _file_state(path)

    @abstractmethod
    def decode(
        self, decoder: RecordDecoder, first_row: int, batch_rows: int, append_time: int | None
    ) -> Iterator[tuple[int, int, Decoded]]:
        """As `decode_file`."""

    def check_unchanged(self) -> None:
        """Raise if the file was written to since it was hashed.

        Raises
        ------
        UsageError
            What was read would not be what its ``topic_id`` says.
        """
        if _file_state(self.path) != self._state:
            msg = f"{self.path} changed while it was read; let the writer finish, or read a copy"
            raise UsageError(msg)


class JsonLines(LogFile):
    """One JSON record on each line."""

    def batches(
        self, first_row: int, batch_rows: int, max_line_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    ) -> Iterator[tuple[int, int, list[int], list[bytes | LongLine]]]:
        """Lines from a row on.

        Yields
        ------
        first, after, rows, lines
            The lines in ``[first, after)`` that are not blank, with their row numbers.

        Raises
        ------
        UsageError
            If the compressed file is damaged; what lies before the damage has been yielded.
        """
        row = first_row
        number = -1
        rows: list[int] = []
        lines: list[bytes | LongLine] = []
        held = 0
        try:
            with open_bytes(self.path) as stream:
                for number, line in enumerate(read_lines(stream, max_line_bytes, MAX_RAW_BYTES)):
                    if number < first_row:
                        continue
                    if isinstance(line, LongLine):
                        held += len(line.head)
                    elif line.isspace() or not line:
                        pass
                    else:
                        held += len(line)
                    if isinstance(line, LongLine) or (line and not line.isspace()):
                        rows.append(number)
                        lines.append(line)
                    if number + 1 - row >= batch_rows or held >= _BATCH_BYTES:
                        yield row, number + 1, rows, lines
                        row, rows, lines, held = number + 1, [], [], 0
        except DAMAGED as error:
            if number >= row:
                yield row, number + 1, rows, lines
            where = f"past row {number}" if number >= 0 else "at all"
            msg = f"{self.path} cannot be read {where} ({error}); is the file complete?"
            raise UsageError(msg) from error
        if number >= row:
            yield row, number + 1, rows, lines

    def decode(
        self, decoder: RecordDecoder, first_row: int, batch_rows: int, append_time: int | None
    ) -> Iterator[tuple[int, int, Decoded]]:
        """As `decode_file`."""
        limit = decoder.limits.max_message_bytes
        for first, after, rows, lines in self.batches(first_row, batch_rows, limit):
            whole = [i for i, line in enumerate(lines) if not isinstance(line, LongLine)]
            offsets = np.array([rows[i] for i in whole], np.int64)
            decoded = decoder.decode_messages(
                [line for line in lines if not isinstance(line, LongLine)],
                topic_id=self.topic_id,
                topic=self.topic,
                partition=0,
                offsets=offsets,
                append_times=None if append_time is None else np.full(len(whole), append_time, np.int64),
            )
            if len(whole) < len(lines):
                decoded = self._with_long_lines(decoded, rows, lines, limit, decoder)
            yield first, after, decoded

    def _with_long_lines(
        self,
        decoded: Decoded,
        rows: list[int],
        lines: list[bytes | LongLine],
        limit: int,
        decoder: RecordDecoder,
    ) -> Decoded:
        long = Rejections(self.topic_id, self.topic, 0)
        for row, line in zip(rows, lines, strict=True):
            if isinstance(line, LongLine):
                detail = (
                    f"the line has {line.length} bytes, at most {limit} are taken; put one record on each line, "
                    "or raise max_message_bytes"
                )
                kept = kept_message(line.head, decoder.pseudonyms)
                long.add(row, 0, Reason.TOO_LARGE, detail, kept, line.length)
        rejected = pa.concat_tables([decoded.rejected, long.table()]).sort_by("offset")
        return Decoded(decoded.records, rejected, decoded.unknown_fields)


class ParquetLog(LogFile):
    """Records as rows of a Parquet file.

    Columns outside the contract are not read; each counts as one unknown value for every row.
    """

    def batches(self, first_row: int, batch_rows: int) -> Iterator[tuple[int, pa.Table]]:
        """Tables of at most ``batch_rows`` rows from a row on, of the columns that matter.

        Raises
        ------
        UsageError
            If the file is damaged.
        """
        row = first_row
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                schema = file.schema_arrow
                names = [name for name in schema.names if name in KNOWN]
                if not names:
                    others = ", ".join(shorten(name, 40) for name in schema.names[:8]) or "none"
                    msg = f"{self.path}: no column is part of the contract (columns: {others})"
                    raise UsageError(msg)
                groups, skip = _groups_from(file.metadata, first_row)
                if not groups:
                    return
                for batch in file.iter_batches(
                    batch_rows, row_groups=groups, columns=names, use_threads=False
                ):
                    table = pa.Table.from_batches([batch])
                    if skip:
                        table, skip = table.slice(min(skip, len(table))), max(0, skip - len(table))
                    if len(table):
                        yield row, table
                        row += len(table)
        except DAMAGED as error:
            msg = f"{self.path} cannot be read as Parquet past row {row} ({error}); is the file complete?"
            raise UsageError(msg) from error

    def decode(
        self, decoder: RecordDecoder, first_row: int, batch_rows: int, append_time: int | None
    ) -> Iterator[tuple[int, int, Decoded]]:
        """As `decode_file`."""
        unread = [name for name in pq.read_schema(self.path).names if name not in KNOWN]
        for row, table in self.batches(first_row, batch_rows):
            try:
                decoded = decoder.decode_rows(
                    table,
                    topic_id=self.topic_id,
                    topic=self.topic,
                    first_offset=row,
                    append_time=append_time,
                    unread=unread,
                )
            except UsageError as error:
                msg = f"{self.path.parent / error.message}"
                raise UsageError(msg) from None
            yield row, row + len(table), decoded


def open_log(path: str | Path) -> LogFile:
    """A log file by what it holds: Parquet by its first bytes or its name, else JSON lines.

    Raises
    ------
    UsageError
        If the file cannot be read, is broken Parquet, or holds neither format.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(0)
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}); name a file of JSON lines or Parquet"
        raise UsageError(msg) from error
    topic_id = f"file-{digest}"
    if head.startswith(_PARQUET_MAGIC) or path.suffix.lower() in _PARQUET_SUFFIXES:
        try:
            rows = pq.read_metadata(path).num_rows
        except DAMAGED as error:
            msg = f"{path} is not a readable Parquet file ({error}); is it complete? Write it again, or send JSON lines"
            raise UsageError(msg) from error
        return ParquetLog(path, topic_id, rows)
    if head.startswith(_ARROW_MAGIC):
        msg = f"{path} is an Arrow IPC file; write it as Parquet, or send it as a Kafka message in the stream format"
        raise UsageError(msg)
    _refuse_list(path)
    return JsonLines(path, topic_id, None)


def decode_file(
    decoder: RecordDecoder,
    log: LogFile,
    first_row: int = 0,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    *,
    append_time: int | None = None,
) -> Iterator[tuple[int, int, Decoded]]:
    """Decode a file from a row on.

    Parameters
    ----------
    decoder
        Decides the space, the limits and the format of the lines.
    log
        From `open_log`.
    first_row
        Where to go on; rows before it are passed over.
    batch_rows
        At most so many rows at a time. It changes memory and speed, never a result.
    append_time
        Milliseconds since 1970 against which event times are bound (plus the decoder's ``max_future_seconds``);
        None: no bound, a log from long ago is as good as today's.

    Yields
    ------
    first, after, decoded
        The records of rows ``[first, after)``. Ranges join; a range of blank lines has no records.

    Raises
    ------
    UsageError
        If the file is damaged, has a column of a type that cannot be taken, or changed since `open_log`.
    """
    if batch_rows < 1 or first_row < 0:
        msg = f"first_row is {first_row}, batch_rows {batch_rows}; they must be at least 0 and 1"
        raise ValueError(msg)
    for first, after, decoded in log.decode(decoder, first_row, batch_rows, append_time):
        log.check_unchanged()
        yield first, after, decoded


def _groups_from(metadata: pq.FileMetaData, first_row: int) -> tuple[list[int], int]:
    """The row groups that hold rows from ``first_row`` on, and how many rows of the first of them to skip."""
    start = 0
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if start + count > first_row:
            return list(range(group, metadata.num_row_groups)), first_row - start
        start += count
    return [], 0


def _refuse_list(path: Path) -> None:
    """A file that is one JSON list would be one rejected row, or thousands; say it once."""
    try:
        with open_bytes(path) as stream:
            head = bytes(stream.read(4096)).removeprefix(b"\xef\xbb\xbf").lstrip()
    except DAMAGED as error:
        msg = f"{path} cannot be read ({error}); is the file complete?"
        raise UsageError(msg) from error
    if head.startswith(b"["):
        msg = f"{path} is one JSON list; put one record on each line, for instance with `jq -c '.[]'`"
        raise UsageError(msg)


def _file_state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
