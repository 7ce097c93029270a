"""Answers on a terminal: what fits is printed, what does not goes through the user's pager."""

from __future__ import annotations

import io
import os
import shutil
from typing import TYPE_CHECKING

import click

from pipeline.cli.sql_answers import print_rows_of
from pipeline.cli.sql_rows import harmless

if TYPE_CHECKING:
    from pipeline.cli.output import Format
    from pipeline.sandbox import Answer

# Long lines are cut and can be scrolled sideways; colours pass; a short text leaves at once and stays on the screen.
_LESS = "-SRFX"


def show(answer: Answer, format_: Format, *, pager: bool) -> None:
    """Print an answer, through the pager when it is longer or wider than the screen."""
    text = io.StringIO()
    print_rows_of(answer, format_, width=None, stream=text)
    show_text(harmless(text.getvalue(), lines=True), pager=pager)


def show_text(text: str, *, pager: bool) -> None:
    """Print a text, through the pager when it is longer or wider than the screen."""
    width, height = shutil.get_terminal_size()
    lines = text.splitlines()
    if pager and (len(lines) > height - 2 or max(map(len, lines), default=0) > width):
        os.environ.setdefault("LESS", _LESS)
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=not text.endswith("\n"))
