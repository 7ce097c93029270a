"""What a query gives, made fit to print: names that differ, blobs as digits, columns that a terminal holds."""

from __future__ import annotations

import io
import json
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from pipeline.cli.output import WIDE_CELL, Format, print_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Between two columns of the table.
_GAP = 3
_DEEPEST = 100


def print_answer(
    names: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
    format_: Format,
    *,
    width: int | None,
    stream: IO[str] | None = None,
) -> list[str]:
    """Print a result; give the columns that were left out.

    Parameters
    ----------
    names, types
        Column names and DuckDB's names of their types.
    width
        Columns of the terminal that a table has to fit: those on the right that do not are left out, because a
        folded table of thirty columns cannot be read. None: nothing is left out.
    stream
        None: standard output.
    """
    # Not above: the list of commands is to be there before DuckDB's world is loaded.
    from pipeline.sandbox.values import distinct_names

    # Cells are made harmless where a table is laid out; a name may hold the same tricks.
    if format_ is not Format.TABLE and stream is None and sys.stdout.isatty():
        stream = cast("IO[str]", TerminalText(sys.stdout))
    names = distinct_names(names if format_ is not Format.TABLE else [harmless(name) for name in names])
    if format_ is not Format.TABLE:
        print_rows(
            names,
            ([_value(*cell) for cell in zip(row, types, strict=True)] for row in rows),
            format_,
            stream=stream,
        )
        return []
    cells = [[_cell(*cell) for cell in zip(row, types, strict=True)] for row in rows]
    shown = len(names) if width is None else _fitting(names, cells, width)
    print_rows(names[:shown], (row[:shown] for row in cells), format_, stream=stream)
    return names[shown:]


def harmless(text: str, *, lines: bool = False) -> str:
    r"""A text without characters that play tricks on a terminal; with ``lines`` it keeps its ends of lines.

    Examples
    --------
    >>> harmless("a\x1b[2Jb\u202e")
    'a�[2Jb�'
    """
    return "".join(each if each.isprintable() or (lines and each == "\n") else "�" for each in text)


class TerminalText(io.TextIOBase):
    """Passes text on to a terminal, made harmless; for rows that are printed as they are."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it; the number of characters that came in."""
        self._stream.write(harmless(text, lines=True))
        return len(text)


def _value(value: Any, kind: str) -> Any:
    """JSON as what it says and not as a string of it; blobs as digits, which is how hashes are searched for."""
    if kind == "JSON" and isinstance(value, str):
        # DuckDB takes texts for JSON that Python does not: nested a hundred thousand deep, numbers of ten thousand digits.
        with suppress(ValueError, RecursionError):
            parsed = json.loads(value)
            return parsed if _is_shallow(parsed) else value
    return _readable(value)


def _is_shallow(value: Any) -> bool:
    """Whether what writes it out may call itself once for each level."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return not level


def _readable(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {name: _readable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(inner) for inner in value]
    return value


def _cell(value: Any, kind: str) -> Any:
    """As `_value`; sparse counts as `bucket:count`, and short enough to be laid out."""
    if isinstance(value, list) and kind.startswith("STRUCT(bucket "):
        return _shortened(" ".join(f"{entry['bucket']}:{entry['count']}" for entry in value))
    value = _value(value, kind)
    return _shortened(value) if isinstance(value, str) else value


def _shortened(text: str) -> str:
    return text if len(text) <= WIDE_CELL else f"{text[: WIDE_CELL - 1]}…"


def _fitting(names: Sequence[str], cells: Sequence[Sequence[Any]], width: int) -> int:
    """How many columns from the left fit, at least one."""
    used = 0
    for count, column in enumerate(_widths(names, cells)):
        used += column + (_GAP if count else 0)
        if used > width:
            return max(count, 1)
    return len(names)


def _widths(names: Sequence[str], cells: Sequence[Sequence[Any]]) -> Iterator[int]:
    for place, name in enumerate(names):
        longest = max((_length(row[place]) for row in cells), default=0)
        yield max(len(name), longest)


def _length(value: Any) -> int:
    return len(f"{value:.6g}" if isinstance(value, float) else str(value))
