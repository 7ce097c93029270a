"""How a raw relation is bound: explicit files, explicit columns, or an empty typed table.

Nothing here comes from a user: relation and column names are those of the formats, and file names are those of
one snapshot. They are quoted all the same, because a lake may lie in a folder of any name.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

# Arrow types that landed files use, as DuckDB spells them.
_SCALARS = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint64(): "UBIGINT",
    pa.float64(): "DOUBLE",
    pa.binary(): "BLOB",
    pa.timestamp("us"): "TIMESTAMP",
}


def duckdb_type(arrow: pa.DataType) -> str:
    """DuckDB's name of an Arrow type that the formats use.

    Examples
    --------
    >>> duckdb_type(pa.list_(pa.struct([("bucket", pa.int32()), ("count", pa.int64())])))
    'STRUCT("bucket" INTEGER, "count" BIGINT)[]'
    """
    if arrow in _SCALARS:
        return _SCALARS[arrow]
    if pa.types.is_fixed_size_binary(arrow):
        return "BLOB"
    if pa.types.is_list(arrow):
        return f"{duckdb_type(arrow.value_type)}[]"
    if pa.types.is_struct(arrow):
        fields = ", ".join(f"{identifier(field.name)} {duckdb_type(field.type)}" for field in arrow)
        return f"STRUCT({fields})"
    msg = f"no landed column has the type {arrow}; add it to the table above with its DuckDB name"
    raise TypeError(msg)


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal. DuckDB knows no escape but the doubled quote in this form."""
    return "'" + text.replace("'", "''") + "'"


def columns_of(schema: pa.Schema) -> dict[str, str]:
    """Column names and DuckDB types of an Arrow schema."""
    return {field.name: duckdb_type(field.type) for field in schema}


def bind_files(
    connection: Any,
    name: str,
    columns: Mapping[str, str],
    files: Sequence[Path],
    optional: Collection[str] = (),
) -> None:
    """Create ``raw.<name>`` over exactly these Parquet files, or empty when there are none.

    The columns are named one by one: a file that lacks one is an error that names it, and a folder called
    ``date=...`` adds none. Those in ``optional`` are null where the first file lacks them.
    """
    if not files:
        create_table(connection, name, columns)
        return
    # A prepared statement cannot create a view, so the names are quoted instead of bound. They are not treated
    # as patterns: DuckDB takes a name that exists as it stands, whatever characters are in it.
    listed = ", ".join(literal(str(file)) for file in files)
    there = set(pq.read_schema(files[0]).names) if optional else set()
    selected = ", ".join(
        f"{'null' if column in optional and column not in there else identifier(column)}::{type_} as {identifier(column)}"
        for column, type_ in columns.items()
    )
    connection.execute(
        f"create view raw.{identifier(name)} as select {selected} "  # noqa: S608 -- see the module's docstring
        f"from read_parquet([{listed}], hive_partitioning = false, union_by_name = false)"
    )


def create_table(
    connection: Any, name: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]] = ()
) -> None:
    """Create ``raw.<name>`` as a table of these rows, which are handed over as one bound JSON value.

    JSON and not a registered Arrow table: DuckDB 2.0.0 returns wrong results for some of those, and one bound
    value is faster than a thousand small inserts.
    """
    declared = ", ".join(f"{identifier(column)} {type_}" for column, type_ in columns.items())
    connection.execute(f"create table raw.{identifier(name)} ({declared})")
    values = [
        {column: _as_declared(row.get(column), type_) for column, type_ in columns.items()} for row in rows
    ]
    if not values:
        return
    structure = json.dumps([columns])
    selected = ", ".join(f"r.{identifier(column)}" for column in columns)
    connection.execute(
        f"insert into raw.{identifier(name)} select {selected} "  # noqa: S608 -- see the module's docstring
        "from (select unnest(from_json_strict($rows::json, $structure)) as r)".replace(
            "$structure", literal(structure)
        ),
        {"rows": json.dumps(values, default=str)},
    )


def _as_declared(value: object, type_: str) -> object:
    """Times as naive UTC, whatever zone a writer put on them; the rest as it is."""
    if type_ != "TIMESTAMP" or not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value) if value else None
    if moment is not None and moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment and moment.isoformat()
