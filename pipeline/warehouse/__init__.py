"""DuckDB over a lake: raw relations bound to one snapshot, macros and views of ``sql/`` on top.

A session is opened with `connect`. It reads and has no business writing, but it is not a sandbox: whoever runs a
stranger's SQL needs a process that cannot write.
"""

from pipeline.warehouse.connection import SessionSettings, connect, connect_sources
from pipeline.warehouse.gate import check_statement
from pipeline.warehouse.sources import Sources, open_snapshot, read_sources
from pipeline.warehouse.tree import Parameter, SqlFile, load_tree, playbook

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
