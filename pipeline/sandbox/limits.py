"""What a query may take, and what it gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take.

    Parameters
    ----------
    seconds
        From the moment it is handed over until its last row is here; then its process is killed.
    memory_bytes
        Resident memory on top of what the process has when the query begins. DuckDB is told three quarters of it and ends most
        large queries by itself; past the whole the process is killed.
    rows
        Rows of an answer; the rest is left out and `Answer.truncated` says so. None: as many as fit.
    threads
        DuckDB's; None: the machine's cores, at most 4.
    answer_bytes
        Size of an answer; handled like `rows`.
    """

    seconds: float = 30.0
    memory_bytes: int = 2 << 30
    rows: int | None = 100_000
    threads: int | None = None
    answer_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and where they come from.

    Parameters
    ----------
    table
        The rows. Columns have distinct names.
    sql, parameters
        What was asked, as it ran.
    milliseconds
        As the asking process saw it.
    truncated
        Whether a limit cut rows off.
    manifest
        Number of the manifest that the session sees.
    audit
        Hash of the line that recorded the query before it ran.
    """

    table: pa.Table
    sql: str
    parameters: Mapping[str, object]
    milliseconds: float
    truncated: bool
    manifest: int
    audit: str

    @property
    def types(self) -> tuple[str, ...]:
        """DuckDB's name of each column's type."""
        return types_of(self.table)

    def rows(self) -> list[dict[str, object]]:
        """The rows as dictionaries."""
        found: list[dict[str, object]] = self.table.to_pylist()
        return found


def types_of(table: pa.Table) -> tuple[str, ...]:
    """DuckDB's names of the types of an answer's columns, which the child wrote beside them."""
    stated = (table.schema.metadata or {}).get(b"distillwatch.types")
    return tuple(json.loads(stated)) if stated else tuple(str(each.type) for each in table.schema)


DEFAULT_LIMITS = Limits()
