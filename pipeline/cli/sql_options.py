"""Options of commands that ask a lake: who, for what, and how much it may take."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_STEPS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def login_name() -> str:
    """Who runs this process, from the system and not from the environment."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


class Size(click.ParamType):
    """A number of bytes: ``512MB``, ``2GiB``.

    Parameters
    ----------
    least
        Fewer are taken for a mistake, such as a forgotten unit.
    """

    name = "size"

    def __init__(self, least: int = 0) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes. MB and MiB are both 2**20: nobody who limits memory means the other."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size; write 512MB or 2GB", param, ctx)
        size = int(float(match[1]) * 1024 ** _STEPS[match[2].upper()])
        if size < self.least:
            self.fail(f"{value} is {size} bytes; {self.least >> 20}MB are the least", param, ctx)
        return size


def session_options(function: F) -> F:
    """Add the options of a session: ``who``, ``case``, ``seconds``, ``memory``, ``weaker_guard``, ``audit``, ``manifest``."""
    for option in reversed(
        [
            click.option("--who", metavar="NAME", help="Who asks, for the record.  [default: login name]"),
            click.option("--case", metavar="CASE", help="The case it is asked for, for the record."),
            click.option(
                "--time-limit",
                "seconds",
                type=click.FloatRange(min=0, min_open=True),
                default=30.0,
                show_default=True,
                metavar="SECONDS",
                help="A query that runs longer is killed.",
            ),
            click.option(
                "--memory-limit",
                "memory",
                type=Size(least=32 << 20),
                default="2GB",
                show_default=True,
                metavar="SIZE",
                help="A query that takes more is killed.",
            ),
            click.option(
                "--weaker-guard",
                is_flag=True,
                help="Go on where the kernel has no Landlock: then nothing but DuckDB's settings and the check of "
                "each statement keeps a query from files.",
            ),
            click.option(
                "--audit",
                metavar="FILE",
                help="Where queries are recorded.  [default: audit/queries.jsonl in the lake]",
            ),
            click.option(
                "--as-of",
                "manifest",
                type=click.IntRange(min=0),
                metavar="MANIFEST",
                help="See the lake as it was when this manifest was published: what landed later is not there.",
            ),
        ]
    ):
        function = option(function)
    return function
