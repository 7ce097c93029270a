"""An answer in the form that was asked for: rows for people and programs, or Parquet and Arrow files."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.cli.output import Format
from pipeline.cli.sql_rows import print_answer
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from pipeline.sandbox import Answer


class AnswerFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def binary(self) -> bool:
        """Whether it is no text."""
        return self in {AnswerFormat.PARQUET, AnswerFormat.ARROW}


def check_destination(format_: AnswerFormat, out: str | None, lake: Path) -> None:
    """Refuse before a query runs what could not be written after it.

    Raises
    ------
    UsageError
        Bytes would go to a terminal, or a file into the lake.
    """
    if format_.binary and out is None and sys.stdout.isatty():
        msg = f"{format_.value} is not for a terminal; give a file with --out FILE"
        raise UsageError(msg)
    if out is not None and Path(out).resolve().is_relative_to(lake.resolve()):
        msg = f"{out} lies in the lake, where only the program's own files are; choose another place"
        raise UsageError(msg)


def write_answer(answer: Answer, format_: AnswerFormat, out: str | None, *, width: int | None) -> list[str]:
    """Write an answer to a file or to standard output; the columns that a table had no room for.

    A file appears whole or not at all.
    """
    if format_.binary:
        with _bytes_to(out) as stream:
            _write_bytes(answer.table, format_, stream)
        return []
    if out is None:
        return print_rows_of(answer, Format(format_.value), width=width)
    with _whole_file(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        return print_rows_of(answer, Format(format_.value), width=None, stream=file)


def print_rows_of(
    answer: Answer, format_: Format, *, width: int | None, stream: IO[str] | None = None
) -> list[str]:
    """Print an answer's rows; the columns that were left out."""
    return print_answer(
        answer.table.schema.names, answer.types, rows_of(answer.table), format_, width=width, stream=stream
    )


def rows_of(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Rows as Python values, a batch at a time."""
    for batch in table.to_batches(max_chunksize=1024):
        yield from zip(*(map(_plain, _values(column)) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    try:
        found: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    except TypeError:
        # A map by lists or structures, which Python has no dictionary for: pairs.
        found = column.to_pylist()
    return found


def _plain(value: Any) -> Any:
    """Arrow's intervals as Python's, where there are no months in them."""
    if hasattr(value, "nanoseconds") and hasattr(value, "months"):
        if value.months:
            return (
                f"{value.months} months {timedelta(days=value.days, microseconds=value.nanoseconds / 1000)}"
            )
        return timedelta(days=value.days, microseconds=value.nanoseconds / 1000)
    return value


def _write_bytes(table: pa.Table, format_: AnswerFormat, stream: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Our note about DuckDB's types is between the sandbox and us.
    metadata = {
        key: value for key, value in (table.schema.metadata or {}).items() if key != b"distillwatch.types"
    }
    table = table.replace_schema_metadata(metadata or None)
    if format_ is AnswerFormat.PARQUET:
        try:
            pq.write_table(table, stream, compression="zstd")
        except pa.ArrowNotImplementedError as error:
            msg = f"Parquet has no such column ({error}); cast it to text, as in x::varchar, or take --format arrow or json"
            raise UsageError(msg) from error
    else:
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)


@contextmanager
def _bytes_to(out: str | None) -> Iterator[IO[bytes]]:
    if out is None:
        # Parquet looks back while it writes, which a pipe cannot.
        import io

        collected = io.BytesIO()
        yield collected
        sys.stdout.buffer.write(collected.getbuffer())
        sys.stdout.buffer.flush()
        return
    with _whole_file(out) as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def _whole_file(out: str) -> Iterator[Path]:
    final = Path(out)
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(final)
    except OSError as error:
        msg = f"{out} cannot be written: {error.strerror}"
        raise UsageError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)
