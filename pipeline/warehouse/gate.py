"""What a session accepts: one statement that only reads, and only what the session offers.

DuckDB's parser gives the statement's syntax tree; every node of it has to be on a list. Kinds of nodes, functions
and relations that are not listed are refused, whatever they do, because the next version of DuckDB will have more.
This is one of two layers: a process that cannot write (`pipeline.sandbox`) is the other, and neither relies on the
other. Alone, this one keeps an analyst from mistakes and gives the reason in words.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Tree = dict[str, Any]
Scope = frozenset[str]

_READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_SOURCES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT", "SHOW_REF"}
)
_MODIFIERS = frozenset(
    {
        "ORDER_MODIFIER",
        "LIMIT_MODIFIER",
        "LIMIT_PERCENT_MODIFIER",
        "DISTINCT_MODIFIER",
        "ORDER_DEFAULT",
        "ASCENDING",
        "DESCENDING",
    }
)
_EXPRESSIONS = frozenset(
    {
        "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA",
        "LAMBDA_REF", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
    }
)  # fmt: skip
_OPERATORS = re.compile(r"[-!%&*+/<=>@^|~]+|!__postfix|\|\||@>|<@|->>?")
_TABLE_FUNCTIONS = frozenset(
    {
        "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "duckdb_columns",
        "duckdb_tables", "duckdb_views", "duckdb_functions", "duckdb_types", "duckdb_keywords", "duckdb_schemas",
        "icu_calendar_names", "pg_timezone_names",
    }
)  # fmt: skip
# Views of the catalogue that say what there is to ask, and nothing of settings, secrets or files.
_CATALOGUE = {
    "": frozenset({"duckdb_columns", "duckdb_tables", "duckdb_views"}),
    "information_schema": frozenset({"tables", "columns", "schemata"}),
}
_SHOWN = frozenset({"tables", "__show_tables_expanded", ""})
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_DEEPEST = 150
# How DuckDB begins to say that a statement is another one.
_ONLY_SELECT = "Only SELECT statements"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a session offers.

    Parameters
    ----------
    relations
        Names of views and tables per schema, lower case.
    macros, table_macros
        Names of the session's macros, lower case.
    """

    relations: Mapping[str, frozenset[str]] = field(default_factory=dict)
    macros: frozenset[str] = frozenset()
    table_macros: frozenset[str] = frozenset()


@cache
def functions() -> frozenset[str]:
    """Functions of DuckDB that a statement may call."""
    text = resources.files("pipeline.warehouse").joinpath("functions.txt").read_text(encoding="utf-8")
    return frozenset(
        word.lower() for line in text.splitlines() if not line.startswith("#") for word in line.split()
    )


def catalogue(connection: Any) -> Catalogue:
    """What the views and macros of a connection are called."""
    relations: dict[str, set[str]] = {"main": set(), "raw": set()}
    found = connection.execute(
        "select schema_name, view_name from duckdb_views() where not internal and not temporary "
        "union all select schema_name, table_name from duckdb_tables() where not internal and not temporary"
    ).fetchall()
    for schema, name in found:
        relations.setdefault(schema, set()).add(name.lower())
    macros = connection.execute(
        "select function_name, function_type from duckdb_functions() where schema_name = 'main' and not internal"
    ).fetchall()
    return Catalogue(
        {schema: frozenset(names) for schema, names in relations.items()},
        frozenset(name.lower() for name, kind in macros if kind == "macro"),
        frozenset(name.lower() for name, kind in macros if kind == "table_macro"),
    )


def check_statement(connection: Any, query: str, known: Catalogue | None = None) -> frozenset[str]:
    """Refuse what is not exactly one SELECT (or DESCRIBE, SUMMARIZE, SHOW TABLES) of the session's own relations.

    Parameters
    ----------
    connection
        Parses; nothing of the statement runs or is bound, and no file that it names is opened.
    known
        What the session offers; None: it is read from the connection.

    Returns
    -------
    frozenset of str
        Names of the statement's parameters.

    Raises
    ------
    UsageError
        There is no statement, more than one, or one that does not only read.
    duckdb.Error
        The text is not SQL.
    """
    if "\0" in query:
        # DuckDB 1.5 ends there, and what follows would be in the record and not in the check.
        msg = f"the query has a zero byte at character {query.index(chr(0)) + 1}; write chr(0) where one is meant"
        raise UsageError(msg)
    # fetchall: DuckDB 2 takes a result that was not read to its end for one that is still running.
    tree = json.loads(
        connection.execute("select json_serialize_sql($query)", {"query": query}).fetchall()[0][0]
    )
    # Not before the tree is known: DuckDB 1.5 opens files while it splits `import database '...'` into statements.
    if tree["error"] and tree.get("error_type") == "parser":
        connection.extract_statements(query)
    if tree["error"]:
        raise UsageError(_other(query, str(tree.get("error_message", ""))))
    found = tree["statements"]
    if not found:
        msg = "the query is empty; write a SELECT, or name a playbook (--list shows them)"
        raise UsageError(msg)
    if len(found) > 1:
        raise UsageError(_several(len(found)))
    _Check(known or catalogue(connection)).tree(tree)
    (statement,) = connection.extract_statements(query)
    return frozenset(statement.named_parameters)


def _several(count: int) -> str:
    return f"the query has {count} statements; a session runs one SELECT at a time"


def _other(query: str, told: str) -> str:
    """Why a text that is SQL and not only SELECT is refused; ``told``: what DuckDB said."""
    import duckdb

    if _ONLY_SELECT not in told:
        return f"the query cannot be read: {told}"
    places = [place for place, _ in duckdb.tokenize(query)]
    ends = [place for place in places if query.encode()[place : place + 1] == b";"]
    begun = sum(
        any(begin < place < end for place in places) for begin, end in pairwise([-1, *ends, len(query) + 1])
    )
    if begun > 1:
        return _several(begun)
    if re.search(r"\bpivot", query, re.IGNORECASE):
        return (
            "a PIVOT here has to name its values, because without them it writes before it reads: "
            "from windows pivot (sum(records) for account_id in ('a', 'b'))"
        )
    first = re.search(r"[A-Za-z]+", query.encode()[places[0] :].decode(errors="replace")) if places else None
    kind = first[0].upper() if first else "strange"
    return (
        f"the query is a {kind} statement that SQL here does not run; a session only reads: write one SELECT"
    )


def _lower(name: str) -> str:
    """As DuckDB compares names: it lowers ASCII only, where Python makes a ``k`` of the Kelvin sign."""
    return name.lower() if name.isascii() else name


class _Check:
    def __init__(self, known: Catalogue) -> None:
        self._known = known

    def tree(self, tree: Tree) -> None:
        self._walk(tree, frozenset(), frozenset(), 0)

    def _walk(self, part: Any, scope: Scope, recurring: Scope, depth: int) -> None:
        """``scope``: names of common tables that stand here; ``recurring``: those whose recursion we are inside of."""
        if depth > _DEEPEST * 4:
            msg = "the query is nested too deeply; a session reads simpler ones"
            raise UsageError(msg)
        if isinstance(part, list):
            for each in part:
                self._walk(each, scope, recurring, depth + 1)
        elif isinstance(part, dict):
            kind = part.get("type")
            if "class" in part:
                self._expression(part)
            elif isinstance(kind, str):
                self._node(kind, part, scope, recurring)
            self._inside(part, scope, recurring, depth)

    def _inside(self, part: Tree, scope: Scope, recurring: Scope, depth: int) -> None:
        if part.get("type") == "RECURSIVE_CTE_NODE" and isinstance(part.get("cte_name"), str):
            name = self._cte(part["cte_name"])
            self._walk(part.get("left"), scope, recurring, depth + 1)
            self._walk(part.get("right"), scope | {name}, recurring | {name}, depth + 1)
            rest = {key: value for key, value in part.items() if key not in {"left", "right"}}
        elif part.get("type") == "CTE_NODE":
            name = self._cte(str(part.get("cte_name", part.get("ctename"))))
            self._walk(part.get("query"), scope, recurring, depth + 1)
            self._walk(part.get("child"), scope | {name}, recurring, depth + 1)
            rest = {key: value for key, value in part.items() if key not in {"query", "child"}}
        else:
            rest = part
        # A common table is seen by those after it and by the body, never by those before it or outside.
        entries = (rest.get("cte_map") or {}).get("map") or []
        for entry in entries:
            name = self._cte(entry["key"])
            self._walk(entry["value"], scope, recurring, depth + 1)
            scope |= {name}
        for key, value in rest.items():
            if key != "cte_map":
                self._walk(value, scope, recurring, depth + 1)

    def _cte(self, name: str) -> str:
        if not _NAME.fullmatch(_lower(name)):
            msg = f"the name {name!r} after WITH has to be a plain one: letters, digits and _"
            raise UsageError(msg)
        return _lower(name)

    def _node(self, kind: str, part: Tree, scope: Scope, recurring: Scope) -> None:
        if kind in _READING_NODES or kind in _MODIFIERS or kind.endswith("_TYPE_INFO"):
            return
        if kind not in _SOURCES:
            what = kind.removesuffix("_QUERY_NODE").removesuffix("_NODE")
            msg = f"the query hides a {what} inside a SELECT; a session only reads"
            raise UsageError(msg)
        if kind == "BASE_TABLE":
            self._relation(part, scope, recurring)
        elif kind == "SHOW_REF":
            self._show(part)
        elif kind == "TABLE_FUNCTION":
            function = part.get("function") or {}
            self._table_function(function)

    def _relation(self, part: Tree, scope: Scope, recurring: Scope) -> None:
        name, schema = _lower(str(part["table_name"])), _lower(str(part["schema_name"]))
        self._same_path(part, part["table_name"])
        if part.get("at_clause"):
            msg = f"{name} has no versions; --as-of MANIFEST opens a session on an earlier state"
            raise UsageError(msg)
        if part["catalog_name"] and str(part["catalog_name"]).lower() not in {"memory", "system"}:
            msg = f"there is no database {part['catalog_name']!r} here; a session reads the views of one lake"
            raise UsageError(msg)
        if not schema and name in scope:
            return
        if schema == "recurring" and name in recurring:
            return
        schemas = [schema] if schema else ["main"]
        if any(name in self._known.relations.get(each, ()) for each in schemas):
            return
        if name in _CATALOGUE.get(schema, ()):
            return
        shown = f"{schema}.{name}" if schema else name
        if _NAME.fullmatch(name):
            near = difflib.get_close_matches(name, self._known.relations.get(schema or "main", ()), n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else "`show tables` lists what there is"
            msg = f"there is no table {shown}; {hint}"
        else:
            msg = f"{shown!r} is no table of the session; files are not read by name: `show tables` lists what there is"
        raise UsageError(msg)

    def _show(self, part: Tree) -> None:
        name = str(part.get("table_name") or "").strip('"').lower()
        schema = str(part.get("schema_name") or "").lower()
        if name not in _SHOWN or schema not in {"", "main", "raw"} or part.get("catalog_name"):
            msg = f"SHOW {name or schema} is not answered here; SHOW TABLES, DESCRIBE and SUMMARIZE are"
            raise UsageError(msg)

    def _table_function(self, part: Tree) -> None:
        name = _lower(str(part.get("function_name", "")))
        if name not in _TABLE_FUNCTIONS and name not in self._known.table_macros:
            msg = f"the table function {name} is not among those that a session calls: files and settings are not read"
            raise UsageError(msg)

    def _expression(self, part: Tree) -> None:
        kind = part["class"]
        if kind not in _EXPRESSIONS:
            msg = f"the query has a {kind} expression, which SQL here does not run"
            raise UsageError(msg)
        if "function_name" in part:
            self._function(part)

    def _function(self, part: Tree) -> None:
        name = _lower(str(part["function_name"]))
        schema, database = str(part.get("schema") or "").lower(), str(part.get("catalog") or "").lower()
        self._same_path(part, part["function_name"])
        known = (
            name in functions()
            or name in self._known.macros
            or name in self._known.table_macros
            or name in _TABLE_FUNCTIONS
            or _OPERATORS.fullmatch(name)
        )
        if not known or schema not in {"", "main"} or database not in {"", "memory", "system"}:
            shown = f"{schema}.{name}" if schema else name
            msg = f"the function {shown} is not among those that a session calls"
            raise UsageError(msg)

    @staticmethod
    def _same_path(part: Tree, name: object) -> None:
        """DuckDB 2 states a name twice; what is looked up is the path, so it has to say the same."""
        path = (part.get("qualified_name") or {}).get("path")
        if path is None:
            return
        first = part.get("catalog_name", part.get("catalog")), part.get("schema_name", part.get("schema"))
        if [each for each in path if each] != [each for each in (*first, name) if each]:
            msg = f"the name {'.'.join(map(str, path))!r} has too many parts"
            raise UsageError(msg)
