"""What a query gives, made fit to print: names that differ, blobs as digits, columns that a terminal holds."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from pipeline.cli.output import WIDE_CELL, Format, print_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Between two columns of the table.
_GAP = 3


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
    names = distinct_names(names)
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


def distinct_names(names: Sequence[str]) -> list[str]:
    """A query may name two columns alike; a JSON object may not.

    Examples
    --------
    >>> distinct_names(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    taken: set[str] = set()
    found: list[str] = []
    for name in names:
        free = (name, *(f"{name}_{number}" for number in range(2, len(names) + 2)))
        chosen = next(candidate for candidate in free if candidate not in taken)
        taken.add(chosen)
        found.append(chosen)
    return found


def _value(value: Any, kind: str) -> Any:
    """JSON as what it says and not as a string of it; blobs as digits, which is how hashes are searched for."""
    if kind == "JSON" and isinstance(value, str):
        return json.loads(value)
    return _readable(value)


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
