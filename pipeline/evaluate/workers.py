"""The same function on many tasks, in processes of their own; results in order, whichever ends first."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    report: Callable[[int, Task | None], None] = lambda _done, _task: None,
) -> list[Result]:
    """Do all tasks.

    Parameters
    ----------
    work
        A function of a module, so that it can be sent; a function of its task alone, so that the number of processes
        changes nothing.
    workers
        1: in this process.
    report
        Told how many are done, and which one begins (or has ended, with several processes); None at the end.
    """
    found: list[Result] = []
    if workers <= 1 or len(tasks) < 2:
        for i, task in enumerate(tasks):
            report(i, task)
            found.append(work(task))
    else:
        # Fresh interpreters: forks of a process with threads (numpy, Arrow) may hang.
        with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
            for i, (task, result) in enumerate(zip(tasks, pool.map(work, tasks), strict=True)):
                report(i, task)
                found.append(result)
    report(len(tasks), None)
    return found
