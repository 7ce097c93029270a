"""The interactive shell of ``distillwatch sql``: history, completion, paging, and dot commands."""

from pipeline.shell.shell import Shell, run_shell

__all__ = ["Shell", "run_shell"]
