"""The process that runs queries: forked by the warden, confined once more, one DuckDB connection."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipeline.errors import LakeError, UsageError
from pipeline.sandbox import frames, landlock, seccomp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.warehouse import Sources
    from pipeline.warehouse.gate import Catalogue

_SET_PDEATHSIG = 1
# Of the memory that a query may take, DuckDB gets this part by itself: then most large queries end with its
# error, which names what to change, and not with a kill.
_DUCKDB_PART = 0.75
_MOST_MESSAGE = 4000


def resolve(lake: str, number: int | None) -> Sources:
    """What a session over a lake sees: as it is now, or as it was when a manifest was published.

    Raises
    ------
    UsageError
        There is no lake, or no longer what that manifest names.
    """
    from pipeline.lake import Lake
    from pipeline.warehouse import open_snapshot, read_sources

    if number is None:
        return read_sources(open_snapshot(lake))
    snapshot = open_snapshot(lake)
    newest = snapshot.manifest.number
    if number > newest:
        msg = f"there is no manifest {number} in {lake}; the newest is {newest}"
        raise UsageError(msg)
    try:
        return read_sources(Lake.open(lake).as_of(number))
    except LakeError as error:
        msg = f"{error.message}; the newest is {newest}"
        raise UsageError(msg) from error


def run(sources: Sources, settings: Mapping[str, Any], asked: int, answers: int) -> None:
    """Serve queries until the pipe ends. Never returns an exception: what goes wrong is told over the pipe."""
    try:
        _confine(sources, settings)
        from pipeline.warehouse import gate

        connection = _connect(sources, settings)
        frames.write_json(answers, frames.READY, _describe(connection))
        _bound_addresses(settings["memory"])
        known = gate.catalogue(connection.cursor())
        for request in _requests(asked):
            _serve(connection, known, request, answers)
    except BaseException as error:  # the parent has to hear it
        with suppress(OSError):
            frames.write_json(
                answers, frames.FAILED, {"message": f"the session ended: {error!r}", "fatal": True}
            )
        os._exit(1)


def _confine(sources: Sources, settings: Mapping[str, Any]) -> None:
    # The warden's death is ours. It has one thread, so this is its death and not a thread's.
    warden = os.getppid()
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != warden:
        os._exit(1)
    if settings["landlock"]:
        from pipeline.sandbox.warden import DATA

        # DuckDB gives up when it sees these and cannot read them. Kept open: the rule is about this very inode.
        for name in ("/proc/self/cgroup", "/proc/self/statm", "/proc/meminfo"):
            with suppress(OSError):
                os.open(name, os.O_RDONLY)
        root = str(sources.root)
        landlock.restrict(
            [
                *(f"{root}/{name}" for name in DATA),
                "/proc/self/cgroup",
                "/proc/self/statm",
                "/proc/meminfo",
                "/proc/sys/vm/overcommit_memory",
                "/sys/devices/system/cpu/online",
                "/sys/fs/cgroup",
            ]
        )
    with suppress(OSError):
        seccomp.apply()


def _connect(sources: Sources, settings: Mapping[str, Any]) -> Any:
    from pipeline.warehouse import SessionSettings, connect_sources

    megabytes = max(32, int(settings["memory"] * _DUCKDB_PART) >> 20)
    return connect_sources(
        sources,
        SessionSettings(
            memory_limit=f"{megabytes}MiB", threads=settings["threads"], locked=settings.get("locked", True)
        ),
    )


def _bound_addresses(memory: int) -> None:
    """A backstop below the warden's watch: one allocation that is far too large fails at once.

    Generous, because libraries reserve addresses that they never use; what is resident is the warden's business.
    """
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 -- one number of the kernel's
        held = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most = held + 2 * memory + (1 << 30)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _describe(connection: Any) -> dict[str, Any]:
    import duckdb

    from pipeline.sandbox.catalogue import describe

    cursor = connection.cursor()
    return {"engine": duckdb.__version__, **describe(cursor)}


def _requests(asked: int) -> Iterator[dict[str, Any]]:
    while (frame := frames.read_frame(asked)) is not None:
        yield json.loads(frame[1])


def _serve(connection: Any, known: Catalogue, request: Mapping[str, Any], answers: int) -> None:
    import duckdb

    from pipeline.sandbox.answers import to_frames
    from pipeline.warehouse import gate

    cursor = connection.cursor()
    try:
        parameters = {name: frames.unpack(value) for name, value in request["parameters"].items()}
        if request["gate"]:
            wanted = gate.check_statement(cursor, request["sql"], known)
            _compare(wanted, parameters)
        to_frames(cursor, request, parameters, answers)
    except UsageError as error:
        frames.write_json(answers, frames.REFUSED, {"message": _shortened(error.message)})
    except RecursionError:
        frames.write_json(
            answers,
            frames.REFUSED,
            {"message": "the query is nested too deeply; a session reads simpler ones"},
        )
    except (duckdb.FatalException, duckdb.InternalException) as error:
        # DuckDB does nothing more after one of these; the next query needs another process.
        message, _, _ = str(error).partition("\n\nStack Trace")
        frames.write_json(answers, frames.FAILED, {"message": _shortened(message), "fatal": True})
    except duckdb.OutOfMemoryException as error:
        # What DuckDB advises after that are settings, which are locked here.
        message = f"{str(error).partition(chr(10))[0]}; ask for less, or give it more memory (--memory-limit)"
        frames.write_json(answers, frames.FAILED, {"message": _shortened(message)})
    except (
        duckdb.Error,
        MemoryError,
        RuntimeError,
        ValueError,
        TypeError,
        OSError,
        ArithmeticError,
    ) as error:
        frames.write_json(answers, frames.FAILED, {"message": _shortened(str(error) or repr(error))})
    finally:
        with suppress(Exception):
            cursor.close()


def _shortened(message: str) -> str:
    """A message may quote a value: a hundred megabytes of it, or what plays tricks on the terminal that shows it."""
    shown = "".join(each if each.isprintable() or each in "\n\t" else "�" for each in message[:_MOST_MESSAGE])
    return shown if len(message) <= _MOST_MESSAGE else f"{shown}… ({len(message)} characters)"


def _compare(wanted: frozenset[str], given: Mapping[str, object]) -> None:
    missing, unknown = sorted(wanted - set(given)), sorted(set(given) - wanted)
    if missing:
        msg = (
            f"the query needs a value for {', '.join(missing)}; give it as --param {missing[0]}=VALUE, or write it in "
            f"the place of ${missing[0]}"
        )
        raise UsageError(msg)
    if unknown:
        msg = f"the query has no parameter {unknown[0]!r}; it takes {', '.join(sorted(wanted)) or 'none'}"
        raise UsageError(msg)
