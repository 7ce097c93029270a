"""Text for people: paragraphs that a terminal folds under their indentation, and that nothing cuts."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from pipeline.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console


class Prose:
    """Writes paragraphs: with rich on a terminal, one line each anywhere else.

    Parameters
    ----------
    stream
        Default: standard output.
    width
        Of the terminal; default: as wide as it is.
    """

    def __init__(self, stream: IO[str] | None = None, *, width: int | None = None) -> None:
        self._stream = stream or sys.stdout
        self._console: Console | None = None
        if self._stream.isatty():
            from rich.console import Console

            self._console = Console(file=self._stream, width=width, highlight=False)

    def say(self, text: str = "", *, indent: int = 0, mark: str = "", style: str = "") -> None:
        """One paragraph. ``mark`` (a dash, say) stands before it, and later lines begin where its text does."""
        text, indent = printable(text), indent + len(mark)
        if self._console is None or not text:
            self._stream.write(f"{mark:>{indent}}{text}\n" if text else "\n")
            return
        from rich.table import Table
        from rich.text import Text

        # Two columns: the mark, and what is folded beside it.
        row = Table.grid()
        row.add_column(width=indent, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(Text(f"{mark:>{indent}}"), Text(text, style=style))
        self._console.print(row)

    def head(self, text: str, *, indent: int = 0) -> None:
        """A paragraph that stands out on a terminal."""
        self.say(text, indent=indent, style="bold")
