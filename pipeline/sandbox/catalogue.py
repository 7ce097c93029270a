"""What a session offers to ask: relations, their columns and comments, macros. For people, not for the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Relation:
    """A view or a raw relation.

    Parameters
    ----------
    name
        As it is written in a query: ``windows``, ``raw.segments``.
    comment
        What it is for; empty for raw relations.
    columns
        Names and DuckDB's types.
    """

    name: str
    comment: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro: ``parameters`` in order; ``table`` when it stands after FROM."""

    name: str
    comment: str
    parameters: tuple[str, ...]
    table: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Relations by name (views first), macros by name, and the engine's version."""

    relations: Mapping[str, Relation]
    macros: Mapping[str, Macro]
    engine: str

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Catalogue:
        """What `describe` gave, after its way through JSON."""
        return cls(
            {
                name: Relation(name, comment, tuple((column, kind) for column, kind in columns))
                for name, comment, columns in document["relations"]
            },
            {
                name: Macro(name, comment, tuple(parameters), table)
                for name, comment, parameters, table in document["macros"]
            },
            document["engine"],
        )


def describe(cursor: Any) -> dict[str, Any]:
    """What a connection's catalogue holds, as JSON has it."""
    relations = cursor.execute(
        "select case when r.schema = 'main' then r.name else r.schema || '.' || r.name end, coalesce(r.comment, ''), "
        "list([c.column_name, c.data_type] order by c.column_index) "
        "from (select schema_name as schema, view_name as name, comment from duckdb_views() where not internal "
        "union all select schema_name, table_name, comment from duckdb_tables() where not internal) r "
        "join duckdb_columns() c on c.schema_name = r.schema and c.table_name = r.name "
        "group by all order by any_value(r.schema), any_value(r.name)"
    ).fetchall()
    macros = cursor.execute(
        "select function_name, coalesce(comment, ''), parameters, function_type = 'table_macro' from duckdb_functions() "
        "where not internal and schema_name = 'main' and function_type in ('macro', 'table_macro') order by 1"
    ).fetchall()
    return {"relations": [list(each) for each in relations], "macros": [list(each) for each in macros]}
