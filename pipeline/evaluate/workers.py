"""The same function on many tasks, in processes of their own; results in order, whichever ends first."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipeline.parent import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.queues import SimpleQueue

Task = TypeVar("Task")
Result = TypeVar("Result")


class Report(Protocol):
    """Told how far the work is."""

    def __call__(self, done: int, task: Any, step: str = "") -> None:
        """`done` tasks are finished; ``task`` begins, or is at ``step``, or has ended; None at the end."""
        ...


def quiet(done: int, task: Any, step: str = "") -> None:
    """Tells nobody."""


class _Here:
    """Where `say` of this process goes: which task it works on, and who is told."""

    tell: Callable[[str], None] | None = None


def say(step: str) -> None:
    """Called by the work itself: what begins. Heard by `in_processes`, in whichever process it is said."""
    if _Here.tell is not None:
        _Here.tell(step)


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int, report: Report = quiet
) -> list[Result]:
    """Do all tasks.

    Parameters
    ----------
    work
        A function of a module, so that it can be sent; a function of its task alone, so that the number of processes
        changes nothing. It may `say` what it is at.
    workers
        1: in this process.
    report
        Told of each step that a task begins, and of each task that begins (or has ended, with several processes).
    """
    found: list[Result] = []
    if workers <= 1 or len(tasks) < 2:
        for i, task in enumerate(tasks):
            report(i, task)
            _Here.tell = lambda step, i=i, task=task: report(i, task, step)
            try:
                found.append(work(task))
            finally:
                _Here.tell = None
    else:
        # Fresh interpreters: forks of a process with threads (numpy, Arrow) may hang.
        context = get_context("spawn")
        said: SimpleQueue[tuple[int, str] | None] = context.SimpleQueue()

        def pass_on() -> None:
            while (heard := said.get()) is not None:
                number, step = heard
                report(len(found), tasks[number], step)

        listener = Thread(target=pass_on, name="steps of tasks", daemon=True)
        listener.start()
        try:
            with ProcessPoolExecutor(min(workers, len(tasks)), context, _begin, (said,)) as pool:
                numbered = pool.map(_numbered, [work] * len(tasks), range(len(tasks)), tasks)
                for task, result in zip(tasks, numbered, strict=True):
                    found.append(result)
                    report(len(found), task)
        finally:
            said.put(None)
            listener.join()
    report(len(tasks), None)
    return found


class _Worker:
    """What a worker process was begun with."""

    said: SimpleQueue[tuple[int, str] | None]


def _begin(said: SimpleQueue[tuple[int, str] | None]) -> None:
    end_with_parent()
    _Worker.said = said


def _numbered(work: Callable[[Task], Result], number: int, task: Task) -> Result:
    _Here.tell = lambda step: _Worker.said.put((number, step))
    return work(task)
