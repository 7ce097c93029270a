"""Opening a session: DuckDB in memory, raw relations bound to one snapshot, views and macros on top."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.lake import Snapshot
from pipeline.warehouse.binding import identifier, literal
from pipeline.warehouse.sources import Sources, open_snapshot, read_sources
from pipeline.warehouse.tree import load_tree, loading_order

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session may use.

    Parameters
    ----------
    memory_limit
        DuckDB's own limit, such as ``2GB``. Some list functions go beyond it: a limit from outside is the
        business of whoever runs the process.
    threads
        Worker threads; None: the machine's cores, at most 4.
    locked
        Whether settings are frozen and files outside the lake are out of reach afterwards.
    """

    memory_limit: str = "2GB"
    threads: int | None = None
    locked: bool = True


DEFAULT_SETTINGS = SessionSettings()

# Nothing is fetched, nothing is loaded, and no variable of the calling Python code becomes a table.
_REFUSED = (
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_community_extensions",
    "allow_unsigned_extensions",
    "allow_persistent_secrets",
    "python_enable_replacements",
)


def connect(lake: str | os.PathLike[str] | Snapshot, settings: SessionSettings = DEFAULT_SETTINGS) -> Any:
    """A DuckDB connection with every view and macro of ``sql/`` over one snapshot of a lake.

    The snapshot is resolved once, here: what lands later is seen by the next session. Cursors of the connection
    see the same.

    Parameters
    ----------
    lake
        Folder of a lake, or a snapshot that is open already.
    settings
        What the session may use.

    Returns
    -------
    duckdb.DuckDBPyConnection
        Views lie in schema ``main``, what they read in schema ``raw``.

    Raises
    ------
    UsageError
        There is no lake in that folder.
    LakeError
        The lake's files contradict each other.
    """
    return connect_sources(
        read_sources(lake if isinstance(lake, Snapshot) else open_snapshot(lake)), settings
    )


def connect_sources(sources: Sources, settings: SessionSettings = DEFAULT_SETTINGS) -> Any:
    """As `connect`, for a snapshot that was read already."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            **dict.fromkeys(_REFUSED, "false"),
            "memory_limit": settings.memory_limit,
            "threads": str(settings.threads or min(4, os.cpu_count() or 1)),
        },
    )
    # The machine's zone would otherwise decide what now()::timestamp is, beside columns that are UTC.
    # Global, because a cursor is a session of its own and begins with the global settings.
    connection.execute("set global timezone = 'UTC'")
    # Landed files never change. Reading the footers of hundreds of files costs more than looking up one account.
    connection.execute("set global parquet_metadata_cache = true")
    load(connection, sources)
    if settings.locked:
        _lock(connection, sources.root)
    return connection


def load(connection: Any, sources: Sources) -> None:
    """Bind the raw relations, then create macros and views in the order of what they read."""
    connection.execute("create schema raw")
    sources.bind(connection)
    tree = load_tree()
    for file in loading_order([*tree["macros"], *tree["views"]]):
        connection.execute(file.statement)
        kind = "view" if file.layer == "views" else _macro_kind(file.statement)
        # COMMENT takes no bound value; the text is one of our own files.
        comment = " ".join(f"{file.header['question']} Grain: {file.header['grain']}".split())
        connection.execute(f"comment on {kind} {identifier(file.name)} is {literal(comment)}")


def _macro_kind(statement: str) -> str:
    return "macro table" if " as table" in statement.splitlines()[0] else "macro"


def _lock(connection: Any, root: Path) -> None:
    # The order matters: each step is refused once a later one is done.
    connection.execute(f"set allowed_directories = [{literal(str(root) + os.sep)}]")
    # Large sorts would otherwise spill to a folder that the session may not write.
    connection.execute("set temp_directory = ''")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
