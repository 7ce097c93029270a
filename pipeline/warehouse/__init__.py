"""DuckDB over a lake: raw relations bound to one snapshot, macros and views of ``sql/`` on top.

A session is opened with `connect`. It reads and has no business writing, but it is not a sandbox: a stranger's SQL,
and everything an investigator types, goes through `pipeline.sandbox`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.warehouse.connection import SessionSettings, connect, connect_sources
    from pipeline.warehouse.gate import check_statement
    from pipeline.warehouse.sources import Sources, open_snapshot, read_sources
    from pipeline.warehouse.tree import Parameter, SqlFile, load_tree, playbook

# Where each name lives. Reading the playbooks is a matter of milliseconds, reading a lake loads all signals: whoever
# needs only the one does not wait for the other.
_HOMES = {
    "Parameter": "tree",
    "SessionSettings": "connection",
    "Sources": "sources",
    "SqlFile": "tree",
    "check_statement": "gate",
    "connect": "connection",
    "connect_sources": "connection",
    "load_tree": "tree",
    "open_snapshot": "sources",
    "playbook": "tree",
    "read_sources": "sources",
}

__all__ = [
    "Parameter",
    "SessionSettings",
    "Sources",
    "SqlFile",
    "check_statement",
    "connect",
    "connect_sources",
    "load_tree",
    "open_snapshot",
    "playbook",
    "read_sources",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
