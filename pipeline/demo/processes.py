"""A worker as a child process: start it, wait until it has landed what was sent, stop it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

from pipeline.errors import DistillwatchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pipeline.clock import Clock
    from pipeline.lake import Lake


class WorkerFailed(DistillwatchError):
    """The worker process ended although it should still run."""


class WorkerProcess:
    """``distillwatch worker`` in a process of its own, its output in a log file.

    Parameters
    ----------
    arguments
        What follows ``distillwatch worker`` on the command line.
    log
        File that receives its output; named in every error message.
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._out = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace=5.0 if error else 60.0)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Raise `WorkerFailed` if it has ended."""
        code = self.process.poll()
        if code is not None:
            msg = f"the worker ended with code {code}; its log is {self.log} and ends with:\n{self.tail()}"
            raise WorkerFailed(msg)

    def wait(self, timeout: float) -> None:
        """Wait until it ends by itself (``--until-caught-up``); any code but 0 is an error."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            msg = f"the worker did not finish within {timeout:.0f} s; its log is {self.log} and ends with:\n{self.tail()}"
            raise WorkerFailed(msg) from error
        finally:
            self._out.flush()
        if code != 0:
            msg = f"the worker ended with code {code}; its log is {self.log} and ends with:\n{self.tail()}"
            raise WorkerFailed(msg)

    def stop(self, grace: float = 60.0) -> int:
        """SIGTERM, so that it lands what it holds; SIGKILL after ``grace`` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._out.close()
        return self.process.returncode


def landed(lake: Lake, topic_id: str, ends: Mapping[int, int]) -> int:
    """How many of the offsets below ``ends`` (partition to end offset) the lake's chains have passed."""
    return sum(min(end, lake.head(topic_id, partition) or 0) for partition, end in ends.items())


def wait_until_landed(
    lake: Lake,
    topic_id: str,
    ends: Mapping[int, int],
    worker: WorkerProcess,
    *,
    clock: Clock,
    timeout: float,
    progress: object = None,
) -> None:
    """Return once every chain's head has reached its end offset.

    Raises
    ------
    WorkerFailed
        The worker ended, or ``timeout`` seconds passed.
    """
    total = sum(ends.values())
    deadline = clock.monotonic() + timeout
    pause = threading.Event()
    while True:
        worker.check()
        done = landed(lake, topic_id, ends)
        if callable(progress):
            progress(done, total)
        if done >= total:
            return
        if clock.monotonic() > deadline:
            msg = f"{done:,} of {total:,} records landed after {timeout:.0f} s; the worker's log is {worker.log} and ends with:\n{worker.tail()}"
            raise WorkerFailed(msg)
        pause.wait(0.2)
