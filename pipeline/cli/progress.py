"""Progress of long work: a bar on a terminal, plain lines anywhere else (CI, a pipe, a log file)."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from pipeline.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pipeline.clock import Clock

PLAIN_SECONDS = 5.0


class Advance(Protocol):
    """Told how far the work is."""

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """`done` of `total` are finished; `total` 0 means that nobody knows; `what` is the newest."""
        ...


@contextmanager
def reporter(title: str, *, stream: TextIO | None = None, clock: Clock | None = None) -> Iterator[Advance]:
    """Show the progress of the work inside the `with` block on standard error.

    Nothing is shown before the first call, so work that turns out to be done already stays quiet.
    Standard output is left to rows that somebody may pipe on.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(title, stream) as advance:
            yield advance
    else:
        yield _Lines(title, stream, clock or SystemClock())


@contextmanager
def _bar(title: str, stream: TextIO) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[what]}"),
    )
    with Progress(*columns, console=Console(file=stream)) as progress:
        task = None

        def advance(done: int, total: int, what: str = "") -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(title, total=total or None, what=what)
            progress.update(task, completed=done, total=total or None, what=what)

        yield advance


class _Lines:
    """At most one line in some seconds, and one at the end."""

    def __init__(self, title: str, stream: TextIO, clock: Clock) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._next = 0.0

    def __call__(self, done: int, total: int, what: str = "") -> None:
        now = self._clock.monotonic()
        if now < self._next and done != total:
            return
        self._next = now + PLAIN_SECONDS
        count = f"{done:,} of {total:,}" if total else f"{done:,}"
        self._stream.write(f"{self._title}: {count}{f' ({what})' if what else ''}\n")
        self._stream.flush()


class Steps:
    """Progress of work that has several named steps, one after another.

    A step begins when it first reports; the one before it is then finished.
    """

    def __init__(self, title: str, *, stream: TextIO | None = None, clock: Clock | None = None) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._step: str | None = None
        self._stack = ExitStack()
        self._advance: Advance | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def finish(self) -> None:
        """End the step that is shown, so that lines can be printed below it."""
        self._stack.close()
        self._step = None

    def report(self, step: str, done: int, total: int) -> None:
        """`done` of `total` of `step` are finished; a reporter of its own for each step."""
        if step != self._step:
            self._stack.close()
            title = f"{self._title}: {step}"
            self._advance = self._stack.enter_context(reporter(title, stream=self._stream, clock=self._clock))
            self._step = step
        assert self._advance is not None
        self._advance(done, total)
