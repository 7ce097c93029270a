"""The base: one process beside each program that asks, with every library loaded, which forks wardens.

It reads no lake and no query. What it saves is the start of Python and of the libraries, once for every session
after the first. It ends with the program: its socket is closed then, and its parent is another.
"""

from __future__ import annotations

import os
import resource
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

IDLE_SECONDS = 0.5


def run(channel: socket.socket) -> None:
    """Load the libraries and fork a warden for each socket that comes, until the program is gone."""
    _settle()
    _load()
    import socket as sockets

    # Nobody waits for a warden: the kernel clears it away.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    watching = select.poll()
    watching.register(channel, select.POLLIN)
    while os.getppid() == parent:
        if not watching.poll(IDLE_SECONDS * 1000):
            continue
        data, places, _, _ = sockets.recv_fds(channel, 1, 1)
        if not data:
            return
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            from pipeline.sandbox.warden import run as run_warden

            try:
                run_warden(sockets.socket(fileno=places[0]))
            finally:
                os._exit(0)
        os.close(places[0])


def _settle() -> None:
    """Limits that hold for this process and all that come from it."""
    for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 8192)):
        _, hard = resource.getrlimit(what)
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (wanted, wanted))
    # A write beyond the limit of size is an error and no signal; the program's Ctrl-C is the program's business.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def prefer_as_victim() -> None:
    """When the machine's memory is out, the kernel is to take a query and not somebody's database."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 -- one word to the kernel
        file.write("1000")


def _load() -> None:
    """Every module that a session needs: it cannot import any more once it is confined."""
    import calendar
    import datetime
    import decimal
    import encodings.idna
    import encodings.utf_8
    import uuid
    import zoneinfo

    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.sandbox import answers, seccomp, session, warden
    from pipeline.warehouse import connect_sources, gate, load_tree, open_snapshot

    pa.array([], pa.string())
    gate.functions()
    load_tree()
    del calendar, datetime, decimal, encodings, uuid, zoneinfo, duckdb, pq
    del answers, seccomp, session, warden, connect_sources, open_snapshot
