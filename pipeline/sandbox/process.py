"""The parent's side: start a warden, have it fork children, hand a query over and take its answer."""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import errors
from pipeline.errors import DistillwatchError, QueryFailed, QueryKilled, UsageError
from pipeline.sandbox import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_START_SECONDS = 120
_CHILD_SECONDS = 60
# A pipe that holds more needs fewer turns; the kernel's usual most for anybody.
_PIPE_BYTES = 1 << 20
# Beside the rows: what Arrow says about them, and messages.
_SLACK_BYTES = 64 << 20
_SET_PIPE_SIZE = 1031


class _Base:
    """The process that forks wardens; one for each process that asks."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        ours, theirs = socket.socketpair()
        folder = Path(__file__).parent
        path = [
            str(Path(entry).resolve())
            for entry in (str(folder.parent.parent), *sys.path)
            if entry and Path(entry).exists()
        ]
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-X", "utf8", "-W", "ignore"),
                    *(str(folder / "start.py"), str(theirs.fileno())),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Not the caller's: it may hold secrets. Not the caller's folder, and not its terminal's Ctrl-C.
                env={"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "4"},
                cwd="/",
                start_new_session=True,
            )
        self._channel = ours
        ours.sendall(json.dumps({"path": path}).encode() + b"\n")

    @property
    def usable(self) -> bool:
        """Whether it lives and is this process's own: after a fork it is the other's."""
        return self._owner == os.getpid() and self._process.poll() is None

    def warden(self) -> socket.socket:
        """A socket to a new warden."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._channel, [b"W"], [theirs.fileno()])
        return ours

    def close(self) -> None:
        """End it. Wardens that it forked end by themselves."""
        self._channel.close()
        if self._owner == os.getpid():
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


_BASE_LOCK = threading.Lock()
_BASES: list[_Base] = []


def prepare() -> None:
    """Start loading what sessions need, without waiting for it."""
    with _BASE_LOCK:
        _base()


def _base() -> _Base:
    if not _BASES or not _BASES[-1].usable:
        if not _BASES:
            atexit.register(_end_bases)
        _BASES.append(_Base())
    return _BASES[-1]


def _end_bases() -> None:
    with _BASE_LOCK:
        while _BASES:
            _BASES.pop().close()


def _pipe() -> tuple[int, int]:
    """Two ends of a stream, the child's and ours.

    Sockets and not a pipe: a pipe can be opened anew by its name in ``/proc/self/fd``, which Landlock does not
    refuse, and then SQL that writes to files could write answers, or ask questions, by itself.
    """
    theirs, ours = socket.socketpair()
    for each in (theirs, ours):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_BYTES)
    return theirs.detach(), ours.detach()


class Warden:
    """A warden process, and at most one child of it at a time. One thread at a time."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        with _BASE_LOCK:
            self._channel = _base().warden()
        self._lines = b""
        self._count = 0
        # Ends of the two pipes to the child.
        self._asking: int | None = None
        self._answers: int | None = None
        self._channel.settimeout(_START_SECONDS)
        try:
            self._channel.sendall(json.dumps(settings).encode() + b"\n")
            self.about = self._line()
            _unless_error(self.about)
        except (OSError, ValueError) as error:
            self.close()
            msg = (
                f"the sandbox did not start: {error}; see that `{sys.executable} -I -c 'import duckdb'` works"
            )
            raise DistillwatchError(msg) from error
        except DistillwatchError:
            self.close()
            raise

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._lines:
            part = self._channel.recv(1 << 16)
            if not part:
                msg = "the process that watches queries is gone"
                raise ConnectionError(msg)
            self._lines += part
        line, _, self._lines = self._lines.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def _ask(self, message: Mapping[str, Any], places: tuple[int, ...] = ()) -> dict[str, Any]:
        self._count += 1
        number = self._count
        data = json.dumps({**message, "number": number}).encode() + b"\n"
        if places:
            socket.send_fds(self._channel, [data], places)
        else:
            self._channel.sendall(data)
        # A Ctrl-C may have left an answer unread.
        while (answer := self._line()).pop("number", None) != number:
            pass
        return answer

    def refresh(self) -> dict[str, Any]:
        """Read the lake's snapshot again; children started from now on see it."""
        self.drop_child()
        return _unless_error(self._ask({"do": "refresh"}))

    @property
    def alive(self) -> bool:
        """Whether the warden is there. It says nothing unasked, but an answer may have been left by a Ctrl-C."""
        try:
            # With a timeout set, Python waits for something to read before it looks at MSG_DONTWAIT.
            if not select.select([self._channel], [], [], 0)[0]:
                return True
            return self._channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    @property
    def has_child(self) -> bool:
        """Whether a child waits for queries."""
        if self._answers is None:
            return False
        # It says nothing unasked: what can be read now is the end of its pipe.
        if select.select([self._answers], [], [], 0)[0]:
            self.drop_child()
            return False
        return True

    def start_child(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Fork a child and wait until its views stand; what it says about itself, with its ``pid``."""
        self.drop_child()
        asked, self._asking = _pipe()
        answers, self._answers = _pipe()
        try:
            started = self._ask({"do": "start", **about}, (asked, answers))
        finally:
            os.close(asked)
            os.close(answers)
        if not select.select([self._answers], [], [], _CHILD_SECONDS)[0]:
            self._ask({"do": "kill", "reason": "start"})
            self.drop_child()
            msg = f"a session did not open within {_CHILD_SECONDS} s; the lake may have too many live files: compact it"
            raise DistillwatchError(msg)
        frame = frames.read_frame(self._answers)
        if frame is None or frame[0] != frames.READY:
            why = self._ask({"do": "why"})["reason"]
            self.drop_child()
            text = json.loads(frame[1])["message"] if frame else f"its process ended ({why})"
            msg = f"a session could not be opened: {text}"
            raise DistillwatchError(msg)
        described: dict[str, Any] = json.loads(frame[1])
        return {**described, **started}

    def drop_child(self) -> None:
        """Close the pipes of the child; it ends when it reads that, and the next one replaces it anyway."""
        for place in (self._asking, self._answers):
            if place is not None:
                os.close(place)
        self._asking = self._answers = None

    def query(
        self,
        request: Mapping[str, Any],
        seconds: float,
        memory: int,
        most_bytes: int,
        *,
        cancelled: Callable[[], bool],
    ) -> tuple[bytearray, dict[str, Any]]:
        """Hand a query over and collect its answer: an Arrow stream, and what the child and the warden say of it.

        Raises
        ------
        UsageError
            The gate refused it.
        QueryFailed
            DuckDB could not run it.
        QueryKilled
            It went over a limit, was cancelled, or its process died.
        """
        assert self._asking is not None
        assert self._answers is not None
        self._ask({"do": "watch", "seconds": seconds, "memory": memory})
        collected = bytearray()
        try:
            try:
                frames.write_json(self._asking, b"Q", request)
                end = self._collect(collected, most_bytes, cancelled)
            except KeyboardInterrupt:
                self._ask({"do": "kill", "reason": "cancelled"})
                raise
        except BaseException:
            self.drop_child()
            raise
        if end is None:
            try:
                report = self._ask({"do": "why"})
            finally:
                self.drop_child()
            raise _killed(report, seconds, memory)
        kind, document = end
        used = self._ask({"do": "done"})
        if used["held"] > memory // 4:
            # What this query leaves in the allocator is not to be the next one's fault.
            self.drop_child()
        document["peak"] = used["peak"]
        if kind == frames.REFUSED:
            raise UsageError(document["message"])
        if kind == frames.FAILED:
            if document.get("fatal"):
                self.drop_child()
            raise QueryFailed(document["message"])
        return collected, document

    def _collect(
        self, collected: bytearray, most: int, cancelled: Callable[[], bool]
    ) -> tuple[bytes, dict[str, Any]] | None:
        """Frames up to the last one; None when the child is gone or was ended."""
        assert self._answers is not None
        while True:
            while not select.select([self._answers], [], [], 0.05)[0]:
                if cancelled():
                    self._ask({"do": "kill", "reason": "cancelled"})
                    return None
            # The child cuts its answer and its messages; one that does not is not ours any more.
            try:
                frame = frames.read_frame(self._answers, most * 2 + _SLACK_BYTES - len(collected))
            except ValueError:
                self._ask({"do": "kill", "reason": "answer"})
                return None
            if frame is None:
                return None
            kind, payload = frame
            if kind == frames.BATCHES:
                collected += payload
                continue
            end = _ending(kind, payload)
            if end is None:
                self._ask({"do": "kill", "reason": "protocol"})
            return end

    def close(self) -> None:
        """End the warden, and with it the child: it kills it when it reads the end of the socket."""
        self.drop_child()
        self._channel.close()


def _ending(kind: bytes, payload: bytes) -> tuple[bytes, dict[str, Any]] | None:
    """What the last frame says; None when a child that keeps to the rules would not say it."""
    wanted = {frames.END: "truncated", frames.REFUSED: "message", frames.FAILED: "message"}.get(kind)
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return (kind, document) if isinstance(document, dict) and wanted in document else None


def _unless_error(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise getattr(errors, answer["error"], DistillwatchError)(answer["message"])
    return answer


def _killed(report: Mapping[str, Any], seconds: float, memory: int) -> QueryKilled:
    reason = report["reason"]
    words = {
        "time": f"the query ran for {seconds:g} s and was ended; ask for less, or give it longer (--time-limit)",
        "memory": (
            # Rounded up: a byte more than 128 MiB is not "128, of which 128 are allowed".
            f"the query took {-(-report['peak'] >> 20)} MiB, {memory >> 20} are allowed, and was ended; "
            "ask for less, or give it more (--memory-limit)"
        ),
        "cancelled": "the query was cancelled",
        "answer": "the answer was larger than it may be",
        "SIGKILL": "the query's process was killed from outside; perhaps the machine's memory was out: ask for less, or again",
    }
    return QueryKilled(reason, words.get(reason, f"the query's process died ({reason}); ask in another way"))
