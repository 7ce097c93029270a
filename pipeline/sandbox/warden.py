"""The warden: a confined process that runs no query. It forks those that do, watches them and kills them.

It reads what the parent asks over a socket, one JSON line at a time, and answers each with one line. It is apart
from the parent so that a limit holds while the parent is busy or stopped, and it has everything loaded already, so
that a new child costs a fork and not a start of Python.

Order of confinement: a Landlock over this process (the lake, Python's libraries, the system's), before anything of
the lake is read; then in each child, after the fork and before DuckDB connects, a second and narrower one and the
filter of system calls (`pipeline.sandbox.session`).
"""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.clock import SystemClock
from pipeline.errors import DistillwatchError
from pipeline.sandbox import landlock
from pipeline.sandbox.base import IDLE_SECONDS, prefer_as_victim

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_WATCH_SECONDS = 0.01
# How long a child that closed its pipe has until it is gone by itself: then how it ended can be told.
_LEAVING_SECONDS = 0.5
# Less than the parent waits, so that it hears why.
_READING_SECONDS = 100
# What the loader, the C library and DuckDB read. Nothing here is about a person or another process.
SYSTEM = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
)
# The folders of a lake that hold data; what else lies in it (records of audit, a console's state) is not readable.
DATA = ("segments", "rollups", "runs", "tables", "alerts", "manifest", "parameters", "lake.json")


@dataclass(slots=True)
class _Child:
    pid: int
    # Bytes when it was first watched, and when the query began: what an allocator keeps is used again.
    base: int = 0
    floor: int = 0
    peak: int = 0
    deadline: float | None = None
    most: int | None = None
    began: float = 0.0
    reason: str = ""
    status: int | None = field(default=None)


def run(channel: socket.socket) -> None:
    """Take the settings, confine this process, read the snapshot, and serve until the parent is gone."""
    line = channel.makefile("rb", buffering=0).readline()
    if not line:
        return
    settings = json.loads(line)
    prefer_as_victim()
    guard: dict[str, Any] = {"landlock": 0, "seccomp": False}
    try:
        if settings["landlock"]:
            guard["landlock"] = landlock.restrict(
                [*sys.path, sys.prefix, sys.base_prefix, *SYSTEM, "/proc", settings["lake"]]
            )
        sources = _in_a_fork(settings)
        guard["seccomp"] = _filter_works()
    except Exception as error:  # whatever it is, the parent has to hear it instead of waiting
        _say(channel, _in_words(error))
        return
    _say(channel, {"guard": guard, "manifest": _manifest(sources), "pid": os.getpid()})
    _Warden(channel, settings, sources).serve()


def _in_words(error: Exception) -> dict[str, Any]:
    if isinstance(error, DistillwatchError):
        return {"error": type(error).__name__, "message": error.message}
    return {"error": "DistillwatchError", "message": f"the sandbox did not start: {error!r}"}


def _manifest(sources: Any) -> int:
    return int(sources.rows["lake"][0]["manifest"])


def _in_a_fork(settings: Mapping[str, Any]) -> Any:
    """Read the snapshot in a process of its own: reading Parquet starts threads, and this process may have none."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            from pipeline.sandbox.session import resolve

            # A pipe in the place of one of the lake's files would be waited for, for ever.
            signal.alarm(_READING_SECONDS)
            try:
                found: Any = resolve(settings["lake"], settings["manifest"])
            except Exception as error:  # handed over
                found = error
            with os.fdopen(theirs, "wb") as file:
                pickle.dump(found, file)
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        data = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGALRM:
        msg = f"the lake could not be read within {_READING_SECONDS} s: {settings['lake']}; see that all in it are plain files"
        raise DistillwatchError(msg)
    # Our own fork's bytes, and it has run nobody's SQL.
    found = pickle.loads(data)  # noqa: S301
    if isinstance(found, Exception):
        raise found
    return found


def _filter_works() -> bool:
    """Whether the kernel takes our filter of system calls: tried in a fork, since it cannot be taken back."""
    from pipeline.sandbox import seccomp

    pid = os.fork()
    if pid == 0:
        code = 1
        with suppress(OSError):
            seccomp.apply()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _say(channel: socket.socket, document: Mapping[str, Any]) -> None:
    channel.sendall(json.dumps(document).encode() + b"\n")


class _Warden:
    def __init__(self, channel: socket.socket, settings: Mapping[str, Any], sources: Any) -> None:
        self._channel = channel
        self._settings = settings
        self._sources = sources
        self._clock = SystemClock()
        self._parent = os.getppid()
        self._child: _Child | None = None
        self._last: dict[str, Any] = {"reason": "gone", "peak": 0}

    def serve(self) -> None:
        """Until the parent closes its end or is no more."""
        watching = select.poll()
        watching.register(self._channel, select.POLLIN)
        while True:
            busy = self._child is not None and self._child.most is not None
            ready = watching.poll((_WATCH_SECONDS if busy else IDLE_SECONDS) * 1000)
            self._check()
            if ready and not self._answer():
                break
            if os.getppid() != self._parent:
                break
        self._kill("closed")

    def _answer(self) -> bool:
        # One message with up to two file descriptors; the parent waits for the answer before it sends another.
        import socket as sockets

        data, places, _, _ = sockets.recv_fds(self._channel, 1 << 16, 2)
        if not data:
            return False
        message = json.loads(data)
        number = message.pop("number")
        reply = getattr(self, f"_do_{message.pop('do')}")(places, **message)
        _say(self._channel, {**reply, "number": number})
        return True

    def _do_start(self, places: list[int], **about: Any) -> dict[str, Any]:
        self._kill("replaced")
        pid = os.fork()
        if pid == 0:
            self._channel.close()
            from pipeline.sandbox.session import run as run_session

            run_session(self._sources, {**self._settings, **about}, *places)
            os._exit(0)
        for place in places:
            os.close(place)
        self._child = _Child(pid)
        return {"pid": pid}

    def _do_refresh(self, places: list[int]) -> dict[str, Any]:
        del places
        self._kill("replaced")
        try:
            self._sources = _in_a_fork(self._settings)
        except Exception as error:  # the session stays on what it had
            return _in_words(error)
        return {"manifest": _manifest(self._sources)}

    def _do_watch(self, places: list[int], *, seconds: float, memory: int) -> dict[str, Any]:
        del places
        child = self._child
        if child is None:
            return {}
        now = self._clock.monotonic()
        child.floor = _used(child.pid)
        child.base = child.base or child.floor
        child.began, child.deadline, child.most, child.peak = now, now + seconds, memory, 0
        return {}

    def _do_done(self, places: list[int]) -> dict[str, Any]:
        del places
        child = self._child
        if child is None:
            return {"peak": 0, "held": 0}
        child.deadline = child.most = None
        used = _used(child.pid)
        return {"peak": max(child.peak, used - child.floor, 0), "held": max(0, used - child.base)}

    def _do_kill(self, places: list[int], *, reason: str) -> dict[str, Any]:
        del places
        return self._report(reason)

    def _do_why(self, places: list[int]) -> dict[str, Any]:
        del places
        return self._report("")

    def _report(self, reason: str) -> dict[str, Any]:
        child = self._child
        if child is None:
            return self._last
        self._kill(reason)
        if not child.reason:
            child.reason = (
                "exit" if child.status is None or child.status >= 0 else signal.Signals(-child.status).name
            )
        self._last = {"reason": child.reason, "peak": child.peak}
        return self._last

    def _check(self) -> None:
        child = self._child
        if child is None or child.most is None or child.deadline is None or child.reason:
            return
        child.peak = max(child.peak, _used(child.pid) - child.floor)
        if child.peak > child.most:
            self._end(child, "memory")
        elif self._clock.monotonic() > child.deadline:
            self._end(child, "time")

    def _end(self, child: _Child, reason: str) -> None:
        child.reason = reason
        # It is our child and we have not waited for it, so the number is still its own.
        if child.status is None:
            os.kill(child.pid, signal.SIGKILL)
            self._reap(child)
        child.most = child.deadline = None

    def _reap(self, child: _Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        child.status = os.waitstatus_to_exitcode(status)

    def _kill(self, reason: str) -> None:
        child, self._child = self._child, None
        if child is None or child.status is not None:
            return
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            child.status = os.waitstatus_to_exitcode(status)
            return
        if not reason:
            # It closed its pipe, so it is on its way out; it does not get long.
            until = self._clock.monotonic() + _LEAVING_SECONDS
            while self._clock.monotonic() < until:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    child.status = os.waitstatus_to_exitcode(status)
                    return
                select.select([], [], [], _WATCH_SECONDS)
            reason = "exit"
        self._end(child, reason)


def _used(pid: int) -> int:
    """Bytes of memory of a process: what is resident and what was swapped out."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 -- read a hundred times a second
            text = file.read()
    except OSError:
        return 0
    total = 0
    for key in (b"VmRSS:", b"VmSwap:"):
        place = text.find(key)
        if place >= 0:
            total += int(text[place + len(key) : text.index(b"kB", place)]) * 1024
    return total
