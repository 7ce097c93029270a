"""Queries that cannot do harm: a confined child process, limits from outside, a record of every question.

`Sandbox` is the one way in which the command line, the console, case files and notebooks ask a lake.
"""

from pipeline.errors import QueryFailed, QueryKilled, SandboxMissing
from pipeline.sandbox.audit import AuditBroken, AuditLog
from pipeline.sandbox.limits import Answer, Limits
from pipeline.sandbox.process import prepare
from pipeline.sandbox.sandbox import AUDIT_FILE, Sandbox

__all__ = [
    "AUDIT_FILE",
    "Answer",
    "AuditBroken",
    "AuditLog",
    "Limits",
    "QueryFailed",
    "QueryKilled",
    "Sandbox",
    "SandboxMissing",
    "prepare",
]
