"""Every hostile statement against each layer: the check alone, all together, without the check, the process alone.

    python tests/shows/hostile.py [--verbose] [--own-process]

Each statement of tests/pipeline/sandbox/hostile.toml, in a world with secrets around the lake, links into it, and a
listener. Counts what wrote, what read outside, what called, what outlived its limit by more than a second; compares
the digest of every file before and after. Then one line of the record is changed and looked for. Exit code 0 only if
nothing got through.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import socket
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import DistillwatchError, QueryFailed, QueryKilled, UsageError
from pipeline.sandbox import AuditBroken, AuditLog, Limits, Sandbox
from pipeline.warehouse import SessionSettings, check_statement, connect

SUITE = Path(__file__).parents[1] / "pipeline" / "sandbox"
LIMITS = Limits(seconds=1.0, memory_bytes=256 << 20, answer_bytes=16 << 20)

WITHOUT = {"_gate": False, "_fresh": False}


def surroundings() -> Any:
    """The module that builds the tests' world."""
    spec = importlib.util.spec_from_file_location("sandbox_world", SUITE / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up there.
    sys.modules["sandbox_world"] = module
    spec.loader.exec_module(module)
    return module


def listen(server: socket.socket, world: Any) -> None:
    """Note whoever calls."""
    while True:
        try:
            connection, address = server.accept()
        except OSError:
            return
        world.connections.append(str(address))
        connection.close()


def ended(sandbox: Sandbox, sql: str, **how: bool) -> tuple[str, bytes, float]:
    """How it ended, the bytes of its answer, and after how long."""
    if not how:
        sandbox.warm()
    elif not sandbox._warden.has_child:
        with contextlib.suppress(DistillwatchError):
            sandbox.ask("select 1", **how)
    began = time.monotonic()
    took = None
    content = b""
    try:
        answer = sandbox.ask(sql, **how)
        # What this program does with the answer is not the query's time.
        took = time.monotonic() - began
        content = json.dumps(answer.rows(), default=str).encode()
        how_it_ended = "answered, cut" if answer.truncated else "answered"
    except UsageError:
        how_it_ended = "refused"
    except QueryKilled as killed:
        how_it_ended = f"killed: {killed.reason}"
    except QueryFailed:
        how_it_ended = "error of DuckDB"
    return how_it_ended, content, took or time.monotonic() - began


def checked(connection: Any, sql: str) -> str:
    """What the check alone says."""
    try:
        check_statement(connection, sql)
    except UsageError:
        return "refused"
    except duckdb.Error:
        return "no SQL"
    return "passed"


class Count:
    """What got through."""

    def __init__(self, secret: str) -> None:
        self.secret = secret.encode()
        self.harm: Counter[str] = Counter(
            {"wrote": 0, "read outside": 0, "called": 0, "outlived": 0, "passed the check": 0}
        )
        self.slowest = 0.0
        self.named: list[str] = []

    def look(self, name: str, found: dict[str, int], late: float) -> None:
        """After one statement: what it did, and how late after its limit it ended (less than 0: before)."""
        for harm, number in found.items():
            if number:
                self.harm[harm] += number
                self.named.append(f"{harm}: {name} ({late:+.2f} s)")
        self.slowest = max(self.slowest, late)


def digest(state: dict[str, str]) -> str:
    """One digest of every file's name, mode, time and content."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def still_answers(session: Sandbox) -> bool:
    """Whether an earlier statement has left a process in which things can be asked."""
    return ended(session, "select count(*) from raw.lake", **WITHOUT)[0] == "answered"


def run(world: Any, secret: str, folder: Path, *, verbose: bool, own: bool) -> bool:
    """The suite; whether nothing got through."""
    statements = tomllib.loads((SUITE / "hostile.toml").read_text(encoding="utf-8"))["statement"]
    count, outcomes = (
        Count(secret),
        {name: Counter[str]() for name in ("check", "together", "unchecked", "process")},
    )
    before = world.state()
    opened = connect(world.lake, SessionSettings(locked=False, threads=1))
    log = AuditLog(folder / "audit.jsonl")
    with (
        Sandbox(world.lake, who="hostile", limits=LIMITS, audit=log) as sandbox,
        Sandbox(world.lake, who="hostile", limits=LIMITS, audit=log) as unchecked,
        Sandbox(world.lake, who="hostile", limits=LIMITS, audit=log, _locked=False) as process,
    ):
        print(
            f"DuckDB {duckdb.__version__}, {sandbox.guard}, limits {LIMITS.seconds:g} s, {LIMITS.memory_bytes >> 20} MiB"
        )
        for statement in statements:
            sql, costs = world.fill(statement["sql"]), bool(statement.get("costs"))
            said = {"check": checked(opened, sql)}
            count.look(
                f"{statement['tries']}, check",
                {"passed the check": said["check"] == "passed" and not costs},
                -LIMITS.seconds,
            )
            for name, session, how in [
                ("together", sandbox, {}),
                ("unchecked", unchecked, WITHOUT),
                ("process", process, WITHOUT),
            ]:
                # Without the check each meets what those before it have left in the process, unless it has its own.
                if how and (own or not still_answers(session)):
                    session._warden.drop_child()
                said[name], content, seconds = ended(session, sql, **how)
                late = seconds - LIMITS.seconds
                found = {
                    "wrote": world.state() != before,
                    "read outside": count.secret in content,
                    "called": len(world.connections),
                    "outlived": late > 1,
                }
                count.look(f"{statement['tries']}, {name}", found, late)
            for name, how_it_ended in said.items():
                outcomes[name][how_it_ended] += 1
            if verbose:
                print(f"{statement['tries']}: " + ", ".join(f"{name} {what}" for name, what in said.items()))
    for name, counted in outcomes.items():
        print(f"{name:<10}", ", ".join(f"{number} {what}" for what, number in counted.most_common()))
    after = world.state()
    print(
        f"{len(statements)} statements:", ", ".join(f"{number} {what}" for what, number in count.harm.items())
    )
    for each in count.named:
        print(each)
    print(f"latest end after its limit: {count.slowest:.2f} s")
    print("digest before", digest(before)[:16], "after", digest(after)[:16])
    return not sum(count.harm.values()) and after == before and tampered(log)


def tampered(log: AuditLog) -> bool:
    """Change one line of the record and look for it; whether it was named."""
    whole = log.verify()
    lines = log.path.read_bytes().splitlines(keepends=True)
    place = len(lines) // 2
    lines[place] = lines[place].replace(b'"who":"hostile"', b'"who":"nobody"').replace(b'"ended"', b'"ENDED"')
    log.path.write_bytes(b"".join(lines))
    try:
        log.verify()
    except AuditBroken as broken:
        print(
            f"record: {whole.lines} lines, whole; line {place + 1} changed: {broken.message.split(', ', 1)[1]}"
        )
        return broken.line == place + 1
    print("record: the change was not found")
    return False


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verbose", action="store_true", help="one line for each statement")
    parser.add_argument(
        "--own-process", action="store_true", help="a new process for each statement without the check"
    )
    given = parser.parse_args()
    module = surroundings()
    os.environ["SANDBOX_SECRET"] = module.SECRET
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        (Path(folder) / "world").mkdir()
        world = module._surround(Path(folder) / "world", server.getsockname()[1])
        threading.Thread(target=listen, args=(server, world), daemon=True).start()
        try:
            fine = run(world, module.SECRET, Path(folder), verbose=given.verbose, own=given.own_process)
        except DistillwatchError as error:
            print(f"error: {error}")
            return 2
    print("nothing got through" if fine else "SOMETHING GOT THROUGH")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
