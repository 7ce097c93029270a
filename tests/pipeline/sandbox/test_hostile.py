"""Statements of people who mean harm: each layer alone, and all together."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from pipeline.errors import DistillwatchError, QueryFailed, QueryKilled, UsageError
from pipeline.sandbox import Limits
from pipeline.warehouse import SessionSettings, check_statement, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.sandbox import Answer, Sandbox

with (Path(__file__).parent / "hostile.toml").open("rb") as file:
    STATEMENTS: list[dict[str, Any]] = tomllib.load(file)["statement"]

REACHING = [each for each in STATEMENTS if not each.get("costs")]
COSTLY = [each for each in STATEMENTS if each.get("costs")]
ROOMY = Limits(seconds=10, memory_bytes=512 << 20)
TIGHT = Limits(seconds=0.6, memory_bytes=256 << 20, answer_bytes=16 << 20)


def by_name(
    statements: list[dict[str, Any]], *, late: Callable[[dict[str, Any]], bool] = lambda _: False
) -> Any:
    return [
        pytest.param(each["sql"], id=each["tries"], marks=[pytest.mark.slow] if late(each) else [])
        for each in statements
    ]


def outcome(sandbox: Sandbox, sql: str, **how: bool) -> tuple[Answer | None, Exception | None, float]:
    """What a statement gave, and for how long it ran once its session stood."""
    sandbox.warm()
    began = time.monotonic()
    try:
        return sandbox.ask(sql, **how), None, time.monotonic() - began
    except DistillwatchError as error:
        return None, error, time.monotonic() - began


@pytest.fixture(autouse=True, scope="module")
def nothing_changes(world: Any) -> Any:
    """Around the whole suite: files as they were, nobody called, the secret where it was."""
    before = world.state()
    yield
    assert world.state() == before
    assert world.connections == []


def test_the_suite_is_large() -> None:
    assert len(STATEMENTS) >= 200
    assert len({each["tries"] for each in STATEMENTS}) == len(STATEMENTS)


@pytest.fixture(scope="module")
def open_connection(world: Any) -> Any:
    """DuckDB with nothing locked, in this very process."""
    return connect(world.lake, SessionSettings(locked=False, threads=1))


@pytest.mark.parametrize("sql", by_name(REACHING))
def test_the_check_of_statements_alone_refuses_it(world: Any, open_connection: Any, sql: str) -> None:
    # Only checked, never run: whatever the check lets pass would be done here.
    with pytest.raises((UsageError, duckdb.ParserException)):
        check_statement(open_connection, world.fill(sql))


@pytest.mark.parametrize("sql", by_name(REACHING))
def test_everything_together_refuses_it(world: Any, sandbox: Sandbox, sql: str) -> None:
    answer, error, _ = outcome(sandbox, world.fill(sql))
    assert answer is None
    assert isinstance(error, UsageError) or (isinstance(error, QueryFailed) and "Parser Error" in str(error))


def harmless(world: Any, secret: str, answer: Answer | None, before: dict[str, str]) -> None:
    assert not (world.folder / "written").exists()
    assert world.connections == []
    if answer is not None:
        assert secret not in str(answer.table.to_pydict())
        assert secret.encode() not in b"".join(
            bytes(buffer)
            for column in answer.table.columns
            for chunk in column.chunks
            for buffer in chunk.buffers()
            if buffer
        )
    # Contents are compared around the whole suite; no write leaves a file's time as it was.
    assert world.state(contents=False) == before


# In the short form the statements share a process, so that each also meets what those before it have left there;
# one that no longer answers is replaced. In the long form each has a process of its own.
PROCESSES = [
    pytest.param(False, id="shared-process"),
    pytest.param(True, id="own-process", marks=pytest.mark.slow),
]


def drop_process(sandbox: Sandbox) -> None:
    """The next statement has a process of its own. It starts before the clock does: its start is not the query's time."""
    if sandbox._warden is not None:
        sandbox._warden.drop_child()


def run_without_check(world: Any, sandbox: Sandbox, secret: str, sql: str, *, fresh: bool) -> None:
    before = world.state(contents=False)
    if fresh:
        drop_process(sandbox)
    answer, _, seconds = outcome(sandbox, world.fill(sql), _gate=False, _fresh=False)
    harmless(world, secret, answer, before)
    assert seconds <= ROOMY.seconds + 1
    if not fresh:
        _, error, _ = outcome(sandbox, "select count(*) from raw.lake", _gate=False, _fresh=False)
        if error is not None:
            drop_process(sandbox)


@pytest.mark.parametrize("fresh", PROCESSES)
@pytest.mark.parametrize("sql", by_name(REACHING))
def test_without_the_check_it_does_no_harm(
    world: Any, opened: Callable[..., Sandbox], secret: str, sql: str, fresh: bool
) -> None:
    run_without_check(world, opened(ROOMY), secret, sql, fresh=fresh)


@pytest.mark.parametrize("fresh", PROCESSES)
@pytest.mark.parametrize("sql", by_name(REACHING))
def test_the_confined_process_alone_holds_it(
    world: Any, opened: Callable[..., Sandbox], secret: str, sql: str, fresh: bool
) -> None:
    # No check, and DuckDB allows everything: only the kernel is left.
    run_without_check(world, opened(ROOMY, locked=False), secret, sql, fresh=fresh)


@pytest.mark.parametrize("sql", by_name(COSTLY, late=lambda each: bool(each.get("later"))))
def test_what_takes_too_much_ends_in_time(world: Any, opened: Callable[..., Sandbox], sql: str) -> None:
    answer, error, seconds = outcome(opened(TIGHT), world.fill(sql))
    assert seconds <= TIGHT.seconds + 1
    # Some of them end by themselves, with little to say.
    if answer is not None:
        assert answer.table.nbytes <= TIGHT.answer_bytes
    else:
        assert isinstance(error, QueryKilled | QueryFailed), error


@pytest.mark.slow
@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("sql", by_name(COSTLY))
def test_what_takes_too_much_ends_in_time_without_the_check(
    world: Any, opened: Callable[..., Sandbox], sql: str, locked: bool
) -> None:
    sandbox = opened(TIGHT, locked=locked)
    drop_process(sandbox)
    answer, _, seconds = outcome(sandbox, world.fill(sql), _gate=False, _fresh=False)
    assert seconds <= TIGHT.seconds + 1
    assert answer is None or answer.table.nbytes <= TIGHT.answer_bytes


def test_the_lake_answers_afterwards(sandbox: Sandbox) -> None:
    assert sandbox.ask("select count(*) as n from account_scores").rows() == [{"n": 7}]
    assert sandbox.audit.verify().lines > 2 * len(REACHING)
