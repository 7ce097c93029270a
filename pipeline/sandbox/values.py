"""An answer's columns as what reads them expects: integers that fit, times that Python has, the rest as text."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.errors import QueryFailed
from pipeline.sandbox.limits import types_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

# Types that Arrow has no equal of: DuckDB hands over other numbers (the upper half of UHUGEINT as negative ones), times
# without their zone, or bytes of its own. As text they are what they are.
_TEXTS = re.compile(r"\b(?:UHUGEINT|BIT|BIGNUM|VARIANT|GEOMETRY|TIME WITH TIME ZONE)\b")
# Days of 0001-01-01 and 9999-12-31 from 1970: what Python's dates hold.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def shown_as_text(types: Sequence[str]) -> list[bool]:
    """Which of DuckDB's types a session hands over as text.

    Examples
    --------
    >>> shown_as_text(["BIGINT", "UHUGEINT", "BIT[]", 'STRUCT("bit" INTEGER)'])
    [False, True, True, False]
    """
    return [_TEXTS.search(kind) is not None for kind in types]


def distinct_names(names: Iterable[str]) -> list[str]:
    """Column names of a query that may give two columns the same one; what reads an answer by name needs others.

    Examples
    --------
    >>> distinct_names(["a", "b", "a", "a", "a_2"])
    ['a', 'b', 'a_2', 'a_3', 'a_2_2']
    """
    taken: set[str] = set()
    found = []
    # Where to go on counting: a query may have a hundred thousand columns of one name.
    next_number: dict[str, int] = {}
    for name in names:
        chosen, number = name, next_number.get(name, 2)
        while chosen in taken:
            chosen, number = f"{name}_{number}", number + 1
        next_number[name] = number
        taken.add(chosen)
        found.append(chosen)
    return found


def readable(table: pa.Table) -> pa.Table:
    """A child's answer so that every reader of it gets values.

    Sums of integers are 128 bits wide in DuckDB and come as decimals: int64 where they fit. Times that Python cannot
    hold (infinity, years after 9999, nanoseconds) become text.

    Raises
    ------
    QueryFailed
        Such a time stands within a list or a structure; the message names the column.
    """
    for place, kind in enumerate(types_of(table)):
        field, column = table.schema.field(place), table.column(place)
        changed = _narrow(column, kind)
        if changed is None and not all(map(_fits, _times(column))):
            if _is_time(field.type):
                changed = _as_text(column)
            else:
                msg = (
                    f"column {field.name} ({kind}) holds times beyond the years 1 to 9999 or with nanoseconds; "
                    f"cast it to text: {field.name}::varchar"
                )
                raise QueryFailed(msg)
        if changed is not None:
            table = table.set_column(place, field.with_type(changed.type), changed)
    return table


def _narrow(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray | None:
    import pyarrow as pa

    if kind in {"HUGEINT", "UHUGEINT"}:
        with suppress(pa.ArrowInvalid):
            return column.cast(pa.int64())
    return None


def _is_time(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind) or pa.types.is_time64(kind))


def _times(column: pa.ChunkedArray | pa.Array) -> Iterator[pa.Array]:
    """Every array of dates or times in a column, also within lists, maps and structures."""
    import pyarrow as pa

    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        kind = chunk.type
        if _is_time(kind):
            yield chunk
        elif pa.types.is_map(kind):
            yield from _times(chunk.keys)
            yield from _times(chunk.items)
        elif pa.types.is_nested(kind):
            if pa.types.is_struct(kind) or pa.types.is_union(kind):
                inner = [chunk.field(number) for number in range(kind.num_fields)]
            else:
                inner = [chunk.flatten()]
            for each in inner:
                yield from _times(each)


def _fits(times: pa.Array) -> bool:
    """Whether Python's dates and times hold all of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = times.type
    if pa.types.is_date32(kind):
        per_day, numbers = 1, times.view(pa.int32())
    else:
        per_day, numbers = _PER_DAY[kind.unit], times.view(pa.int64())
        if kind.unit == "ns" and pc.any(pc.not_equal(_remainder(numbers), 0)).as_py():
            return False
        if pa.types.is_time64(kind):
            return True
    ends = pc.min_max(numbers).as_py()
    if ends["min"] is None:
        return True
    return bool(ends["min"] >= _FIRST_DAY * per_day and ends["max"] < (_LAST_DAY + 1) * per_day)


def _remainder(numbers: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.subtract(numbers, pc.multiply(pc.divide(numbers, 1000), 1000))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dates and times as ISO 8601, those that stand for no end in time as DuckDB writes them."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_time64(kind):
        return column.cast(pa.string())
    unit, wide = ("D", 31) if pa.types.is_date32(kind) else (kind.unit, 63)
    most = (1 << wide) - 1
    texts: list[str | None] = []
    for number in column.cast(pa.int32() if wide == 31 else pa.int64()).to_pylist():
        if number is None:
            texts.append(None)
        elif abs(number) == most:
            texts.append("infinity" if number > 0 else "-infinity")
        else:
            texts.append(str(np.array(number, f"datetime64[{unit}]")).replace("T", " "))
    return pa.chunked_array([pa.array(texts, pa.string())])
