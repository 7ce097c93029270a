"""Rows for people and for programs: `--format table|json|csv`, the same values in each."""

from __future__ import annotations

import base64
import csv
import json
import math
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

WIDE_CELL = 80

F = TypeVar("F", bound="Callable[..., Any]")


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def format_option(function: F) -> F:
    """Add `--format` to a command that prints rows; it arrives as the argument `format_`, a `Format`."""
    option = click.option(
        "--format",
        "format_",
        type=click.Choice([each.value for each in Format]),
        default=Format.TABLE.value,
        show_default=True,
        callback=lambda _context, _option, value: Format(value),
        help="How rows are printed.",
    )
    return option(function)


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    format_: Format | str = Format.TABLE,
    *,
    stream: IO[str] | None = None,
    title: str | None = None,
    whole: bool = False,
) -> int:
    """Print rows, each as long as `columns`; give their number.

    JSON is one array of objects; times are ISO 8601 with `Z` (times without a zone are UTC here), bytes
    are base64, NaN and infinity are null, because JSON has no others. CSV holds lists as JSON.
    A table shortens wide cells unless ``whole`` is set, the others never do.
    """
    stream = stream or sys.stdout
    if Format(format_) is Format.TABLE:
        return _table(columns, rows, stream, title, whole)
    return {Format.JSON: _json, Format.CSV: _csv}[Format(format_)](columns, rows, stream)


def print_mappings(
    rows: Sequence[Mapping[str, Any]],
    format_: Format | str = Format.TABLE,
    *,
    columns: Sequence[str] | None = None,
    whole: bool = False,
) -> int:
    """Like `print_rows` for rows that are mappings; columns default to the first row's keys."""
    names = list(columns if columns is not None else (rows[0] if rows else ()))
    return print_rows(names, ([row.get(name) for name in names] for row in rows), format_, whole=whole)


def plain(value: Any) -> Any:  # noqa: PLR0911 -- one return per kind of value
    """A value as JSON has it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
            return moment.isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case Decimal() | UUID():
            return str(value)
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each) for each in value]
    # numpy's scalars and arrays, without importing numpy for those who have none.
    for method in ("tolist", "as_py"):
        if hasattr(value, method):
            return plain(getattr(value, method)())
    return str(value)


def _json(columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: IO[str]) -> int:
    count = 0
    # Row by row, so that a long answer neither waits nor fills memory.
    stream.write("[")
    for row in rows:
        stream.write(",\n " if count else "\n ")
        stream.write(json.dumps(dict(zip(columns, map(plain, row), strict=True)), ensure_ascii=False))
        count += 1
    stream.write("\n]\n" if count else "]\n")
    return count


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: IO[str]) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_flat(value) for value in row])
        count += 1
    return count


def _flat(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: IO[str], title: str | None, whole: bool
) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for place, name in enumerate(columns):
        numbers = bool(cells) and all(isinstance(row[place], int | float | None) for row in cells)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        # `Text`, so that brackets in somebody's user agent are not taken for markup.
        table.add_row(*(Text(_cell(value, whole)) for value in row))
    # A pipe has no width; then nothing is to be folded.
    width = None if stream.isatty() else 10_000
    console = Console(file=stream, width=width, soft_wrap=False, highlight=False)
    if columns:
        console.print(table)
    if not cells:
        console.print("(no rows)")
    return len(cells)


def _cell(value: Any, whole: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = printable(str(_flat(value)))
    return text if whole or len(text) <= WIDE_CELL else text[: WIDE_CELL - 1] + "…"


def printable(text: str) -> str:
    """Without control characters, which would play tricks on the terminal of whoever investigates."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
