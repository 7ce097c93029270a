"""What the sandbox costs and how close its limits are kept.

    python tests/benchmarks/bench_sandbox.py [--lake DIR] [--repeat N]

Medians of N; without a lake it makes a tiny one. "Open" is a session from nothing; the first of a program also loads
the libraries.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import QueryKilled
from pipeline.sandbox import AuditLog, Limits, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_CALL = "select levenshtein(repeat('ab', 2000000), repeat('ba', 2000000))"
GROWING = "select list_sum(range(60000000))"


def tiny(folder: Path) -> Path:
    """The lake of the sandbox's tests."""
    place = Path(__file__).parents[1] / "pipeline" / "sandbox" / "conftest.py"
    spec = importlib.util.spec_from_file_location("sandbox_world", place)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["sandbox_world"] = module
    spec.loader.exec_module(module)
    made: Path = module.make_lake(folder / "lake").root
    return made


def timed(action: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def line(name: str, values: list[float], unit: str = "ms") -> None:
    """One figure."""
    print(f"{name:<58}{statistics.median(values):>10.1f} {unit}   (most {max(values):.1f})")


def killed(sandbox: Sandbox, sql: str, limits: Limits) -> tuple[float, str]:
    """Milliseconds until the session said so, and what it said."""
    sandbox.warm()
    began = time.perf_counter()
    try:
        sandbox.ask(sql, limits=limits)
    except QueryKilled as error:
        return (time.perf_counter() - began) * 1000, error.message
    msg = f"it was not killed: {sql}"
    raise AssertionError(msg)


def resident(pid: int | None) -> float:
    """MiB that a process does not share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(each.split()[1]) for each in text.splitlines() if each.startswith("Private_")) / 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--repeat", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake, log = given.lake or tiny(Path(folder)), AuditLog(Path(folder) / "audit.jsonl")

        def fresh() -> Sandbox:
            session = Sandbox(lake, who="bench", audit=log)
            session.ask("select 1")
            return session

        began = time.perf_counter()
        sandbox = fresh()
        line("open and first answer, first session of a program", [(time.perf_counter() - began) * 1000])
        print(f"{'':<58}guard: {sandbox.guard}")
        opened = []
        for _ in range(given.repeat):
            began = time.perf_counter()
            session = fresh()
            opened.append((time.perf_counter() - began) * 1000)
            session.close()
        line("open and first answer, later sessions", opened)
        again = []
        for _ in range(given.repeat):
            sandbox._warden.drop_child()
            again.append(timed(sandbox.warm))
        line("a new process after a kill", again)
        repeats = given.repeat * 10
        line("select 1, all of it", [timed(lambda: sandbox.ask("select 1")) for _ in range(repeats)])

        def record() -> None:
            log.ended(log.asked(who="b", case=None, sql="s", parameters={}, manifest=1), outcome="answered")

        line("  of which the record, two lines on the disk", [timed(record) for _ in range(repeats)])
        line(
            "a playbook (why_flagged)",
            [
                timed(lambda: sandbox.playbook("why_flagged", {"account_id": "x"}))
                for _ in range(given.repeat)
            ],
        )
        large = "select x, x * 2 as y, 'text ' || x as z from range(1000000) t(x)"
        roomy = Limits(rows=None)
        line(
            "a million rows of three columns",
            [timed(lambda: sandbox.ask(large, limits=roomy)) for _ in range(3)],
        )
        line("memory of a session's process, not shared", [resident(sandbox.child)], "MiB")
        over = [killed(sandbox, ONE_CALL, Limits(seconds=0.5))[0] - 500 for _ in range(given.repeat)]
        line("end after the limit of time: one call that nothing interrupts", over)
        peaks = []
        for _ in range(given.repeat):
            message = killed(sandbox, GROWING, Limits(memory_bytes=128 << 20))[1]
            peaks.append(float(message.split(" MiB")[0].split()[-1]) - 128)
        line("memory over a limit of 128 MiB when it was seen", peaks, "MiB")
        sandbox.close()


if __name__ == "__main__":
    main()
