"""Limits hold from outside, whatever the child does; nothing outlives who asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import QueryFailed, QueryKilled
from pipeline.sandbox import Limits, Sandbox
from pipeline.sandbox.process import _killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDLESS = "select sum(a.x * b.x % 7) from range(10000000) a(x), range(10000000) b(x)"
# One call that DuckDB's own interrupt does not reach.
ONE_CALL = "select levenshtein(repeat('ab', 2000000), repeat('ba', 2000000))"


def until(condition: Callable[[], bool], within: float = 20.0) -> bool:
    """Whether it comes true in that time."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def ended(pid: int) -> bool:
    """Whether nothing of a process runs any more: a zombie may have threads that still hold its files."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def gone(pid: int, within: float = 3.0) -> bool:
    return until(lambda: ended(pid), within)


def at_work(pid: int) -> bool:
    """Wait until a process has computed for a twentieth of a second from now: its query runs."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    start = ticks()
    return until(lambda: ticks() >= start + 5)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Ctrl-C raises here, also where whoever started the tests in the background had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("sql", [ENDLESS, ONE_CALL])
def test_a_query_ends_at_its_time_and_says_so(sandbox: Sandbox, sql: str) -> None:
    sandbox.warm()
    child = sandbox.child
    assert child is not None
    began = time.monotonic()
    with pytest.raises(QueryKilled, match=r"ran for 0\.3 s .*--time-limit") as killed:
        sandbox.ask(sql, limits=Limits(seconds=0.3))
    assert 0.3 <= time.monotonic() - began < 1.3
    assert killed.value.reason == "time"
    assert gone(child)
    # The next one meets a new process and the same lake.
    assert sandbox.ask("select count(*) as n from account_scores").rows() == [{"n": 7}]
    assert sandbox.child != child


def test_a_query_ends_at_its_memory_and_says_so(sandbox: Sandbox) -> None:
    # List functions do not ask DuckDB's own limit.
    with pytest.raises(QueryKilled, match=r"64 are allowed.*--memory-limit") as killed:
        sandbox.ask("select list_sum(range(60000000))", limits=Limits(seconds=10, memory_bytes=64 << 20))
    assert killed.value.reason == "memory"


def test_the_peak_stays_near_the_limit(sandbox: Sandbox) -> None:
    most = 128 << 20
    with pytest.raises(QueryKilled) as killed:
        sandbox.ask("select list_sum(range(60000000))", limits=Limits(seconds=10, memory_bytes=most))
    peak = int(killed.value.message.split(" MiB")[0].split()[-1]) << 20
    # What it can take between two looks, 10 ms apart, on a machine that is busy otherwise.
    assert most < peak < most + (400 << 20)


def test_a_byte_over_the_limit_is_told_as_more_than_the_limit() -> None:
    told = _killed({"reason": "memory", "peak": (128 << 20) + 1}, 10, 128 << 20)
    assert "took 129 MiB, 128 are allowed" in told.message


def test_an_ordinary_large_query_is_duckdbs_error_and_leaves_the_process(sandbox: Sandbox) -> None:
    sandbox.warm()
    with pytest.raises(QueryFailed, match=r"(?i)memory"):
        sandbox.ask(
            "select count(*) from (select distinct x || 'a text that fills it' from range(20000000) t(x))"
        )
    assert sandbox.ask("select 1 as x").rows() == [{"x": 1}]


def test_rows_are_cut_and_it_is_said(sandbox: Sandbox) -> None:
    answer = sandbox.ask("select x from range(100000000) t(x)", limits=Limits(rows=5))
    assert (answer.table.num_rows, answer.truncated) == (5, True)
    assert answer.table.column("x").to_pylist() == [0, 1, 2, 3, 4]
    exact = sandbox.ask("select x from range(5) t(x)", limits=Limits(rows=5))
    assert (exact.table.num_rows, exact.truncated) == (5, False)


def test_bytes_are_cut_and_it_is_said(sandbox: Sandbox) -> None:
    answer = sandbox.ask(
        "select repeat('x', 1000) as t from range(100000)", limits=Limits(rows=None, answer_bytes=1 << 20)
    )
    assert answer.truncated
    assert 0 < answer.table.num_rows <= 1100
    assert answer.table.nbytes <= 1 << 20


def test_one_allocation_far_too_large_fails_at_once(sandbox: Sandbox) -> None:
    # Addresses are bounded too, so the kernel refuses it before anything is resident.
    with pytest.raises(QueryFailed, match=r"(?i)memory"):
        sandbox.ask("select list_sum(range(2000000000))")
    assert sandbox.ask("select 1 as x").rows() == [{"x": 1}]


def test_duckdbs_own_collapse_ends_a_query_and_not_the_session(sandbox: Sandbox) -> None:
    # After an internal error a database answers nothing more.
    with pytest.raises(QueryFailed, match="INTERNAL") as failed:
        sandbox.ask("select reservoir_quantile(x, 0.5, 1000000000) from range(1000000000) t(x)")
    assert "Stack Trace" not in failed.value.message
    assert sandbox.ask("select 1 as x").rows() == [{"x": 1}]


def test_a_crash_of_the_process_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(QueryKilled, match=r"process died \(SIGSEGV\)"):
        sandbox.ask("select from_json('1', repeat('[', 100000) || '\"INT\"' || repeat(']', 100000))")
    assert sandbox.ask("select 1 as x").rows() == [{"x": 1}]


def test_a_warden_killed_within_a_query_is_said_and_recorded(sandbox: Sandbox) -> None:
    sandbox.warm()
    child = sandbox.child
    assert child is not None

    def kill() -> None:
        at_work(child)
        os.kill(sandbox._warden.about["pid"], signal.SIGKILL)

    threading.Thread(target=kill).start()
    with pytest.raises(QueryKilled, match="the process that watches queries is gone"):
        sandbox.ask(ONE_CALL)
    assert gone(child)
    assert [entry.document for entry in sandbox.audit][-1]["outcome"] == "killed: gone"
    assert sandbox.ask("select 5 as x").rows() == [{"x": 5}]


def test_the_process_stays_warm_between_queries(sandbox: Sandbox) -> None:
    sandbox.ask("select 1")
    child = sandbox.child
    for _ in range(5):
        sandbox.ask("select count(*) from account_scores")
    assert sandbox.child == child


def test_memory_of_many_queries_does_not_add_up(opened: Callable[..., Sandbox]) -> None:
    sandbox = opened(Limits(seconds=10, memory_bytes=256 << 20))
    for _ in range(8):
        assert sandbox.ask("select list_sum(range(3000000)) as s").rows() == [{"s": 4499998500000}]


def test_a_query_without_check_has_its_own_process(sandbox: Sandbox) -> None:
    sandbox.ask("create or replace view account_scores as select 1 as nobody", _gate=False)
    assert sandbox.ask("select count(*) as n from account_scores").rows() == [{"n": 7}]
    sandbox.ask("create or replace view account_scores as select 1 as nobody", _gate=False, _fresh=False)
    assert sandbox.ask("select count(*) as n from account_scores").rows() == [{"n": 7}]


def test_another_thread_can_cancel(sandbox: Sandbox) -> None:
    sandbox.warm()
    threading.Timer(0.3, sandbox.cancel).start()
    began = time.monotonic()
    with pytest.raises(QueryKilled) as killed:
        sandbox.ask(ONE_CALL)
    assert killed.value.reason == "cancelled"
    assert time.monotonic() - began < 1.5
    assert [entry.document for entry in sandbox.audit][-1]["outcome"] == "killed: cancelled"


def test_ctrl_c_ends_the_query_and_not_the_session(sandbox: Sandbox, interrupts: None) -> None:
    sandbox.warm()
    child = sandbox.child
    assert child is not None

    def interrupt() -> None:
        at_work(child)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.ask(ONE_CALL)
    assert gone(child)
    assert sandbox.ask("select 2 as x").rows() == [{"x": 2}]


def test_a_child_that_died_is_replaced(sandbox: Sandbox) -> None:
    sandbox.warm()
    child = sandbox.child
    assert child is not None
    os.kill(child, signal.SIGKILL)
    assert gone(child)
    assert sandbox.ask("select 3 as x").rows() == [{"x": 3}]


def test_a_warden_that_died_takes_its_child_along_and_is_replaced(sandbox: Sandbox) -> None:
    sandbox.warm()
    child = sandbox.child
    assert child is not None
    os.kill(sandbox._warden.about["pid"], signal.SIGKILL)
    assert gone(child)
    assert sandbox.ask("select 4 as x").rows() == [{"x": 4}]


def test_a_session_that_is_closed_leaves_no_process(lake_of: Callable[[], Any]) -> None:
    session = Sandbox(lake_of().root, who="tests")
    session.warm()
    child, warden = session.child, session._warden.about["pid"]
    assert child is not None
    session.close()
    assert gone(child)
    assert gone(warden)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_who_asked(lake_of: Callable[[], Any], how: signal.Signals) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from pipeline.sandbox import Limits, Sandbox
session = Sandbox({str(lake_of().root)!r}, who="tests", limits=Limits(seconds=60))
session.warm()
print(session.child, session._warden.about["pid"], os.getppid(), flush=True)
session.ask({ONE_CALL!r})
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        child, warden, _ = map(int, program.stdout.readline().split())
        assert at_work(child)
        program.send_signal(how)
        program.wait()
    assert gone(child)
    assert gone(warden)


def test_a_limit_holds_while_who_asked_is_stopped(lake_of: Callable[[], Any]) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from pipeline.sandbox import Limits, Sandbox
session = Sandbox({str(lake_of().root)!r}, who="tests", limits=Limits(seconds=1))
session.warm()
print(session.child, flush=True)
session.ask({ONE_CALL!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        child = int(program.stdout.readline())
        assert at_work(child)
        program.send_signal(signal.SIGSTOP)
        assert gone(child)
        program.kill()
