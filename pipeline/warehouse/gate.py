"""What a session accepts: one statement, and only a reading one.

This is a courtesy, not a sandbox. It keeps an analyst from changing a lake by accident; somebody who wants to
do harm has the machine's other doors. A process that *cannot* write is a guard of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# DuckDB 2 accepts `with x as (copy ... to ...) select ...` and calls it a SELECT, so the kinds of its
# query nodes are looked at as well.
_READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


def check_statement(connection: Any, query: str) -> frozenset[str]:
    """Refuse what is not exactly one SELECT (or DESCRIBE, SUMMARIZE, SHOW); give its named parameters.

    Raises
    ------
    UsageError
        There is no statement, more than one, or one that does not only read.
    duckdb.Error
        The text is not SQL.
    """
    statements = connection.extract_statements(query)
    if not statements:
        msg = "the query is empty; write a SELECT, or name a playbook (--list shows them)"
        raise UsageError(msg)
    if len(statements) > 1:
        msg = f"the query has {len(statements)} statements; a session runs one SELECT at a time"
        raise UsageError(msg)
    kind = statements[0].type.name
    tree = json.loads(connection.execute("select json_serialize_sql($query)", {"query": query}).fetchone()[0])
    if kind != "SELECT" or tree.get("error"):
        msg = f"the query is a {kind} statement that SQL here does not run; a session only reads: write one SELECT"
        raise UsageError(msg)
    for node in _node_kinds(tree):
        if node not in _READING_NODES:
            what = node.removesuffix("_QUERY_NODE").removesuffix("_NODE")
            msg = f"the query hides a {what} inside a SELECT; a session only reads"
            raise UsageError(msg)
    return frozenset(statements[0].named_parameters)


def _node_kinds(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        kind = tree.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE"):
            yield kind
        for value in tree.values():
            yield from _node_kinds(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _node_kinds(value)
