"""Tasks in processes: the same results in the same order, steps heard from each, nothing left behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.evaluate.workers import in_processes, say

if TYPE_CHECKING:
    from pathlib import Path


def factorial(number: int) -> int:
    say(f"{number}!")
    return math.factorial(number)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_whatever_the_number_of_processes(workers: int) -> None:
    told: list[tuple[int, int | None, str]] = []
    found = in_processes(
        factorial, [5, 3, 4], workers, lambda done, task, step="": told.append((done, task, step))
    )
    assert found == [120, 6, 24]
    assert {(task, step) for _, task, step in told if step} == {(5, "5!"), (3, "3!"), (4, "4!")}
    # The thread that hears steps may tell of one while the end of another task is told.
    if workers == 1:
        assert [(done, task) for done, task, step in told if not step] == [(0, 5), (1, 3), (2, 4), (3, None)]
    assert told[-1] == (3, None, "")
    with pytest.raises(ValueError, match="negative"):
        in_processes(math.factorial, [1, -1], workers)


def test_what_is_said_outside_of_a_task_is_heard_by_nobody() -> None:
    say("nothing")


def test_workers_of_a_parent_that_was_killed_end(tmp_path: Path) -> None:
    # A FIFO, since fresh interpreters inherit no pipes: it is at its end when every process that opened it has ended.
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    code = (
        "import sys; from tests.pipeline.evaluate.test_workers import hold; "
        "from pipeline.evaluate.workers import in_processes\n"
        "if __name__ == '__main__': in_processes(hold, [sys.argv[1]] * 2, 2)"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, str(script), str(fifo)], env=environment)
    with fifo.open("rb", buffering=0) as alive:
        heard = b""
        while heard.count(b"\n") < 2:
            part = alive.read(100)
            assert part, "the workers ended by themselves"
            heard += part
        parent.kill()
        parent.wait()
        # Blocks until both workers are gone; were they not to go, the runner's timeout names this line.
        assert alive.read(100) == b""


def hold(fifo: str) -> None:
    """In a worker: say that it lives, keep the FIFO open, and wait for ever."""
    with open(fifo, "wb", buffering=0) as file:  # noqa: PTH123 - kept open on purpose
        file.write(b"here\n")
        signal.pause()
