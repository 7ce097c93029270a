"""Live looks as they are measured: the worker's own scorer, and what looking after every fifty records adds."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from rich.console import Console

from pipeline.engine import Engine
from pipeline.evaluate import streaming
from pipeline.evaluate.streaming import (
    ABOVE,
    EVERY_STEP,
    NOBODY,
    SCHEDULE,
    SEEMS_ABOVE,
    SEEMS_WITHIN,
    WITHIN,
    EveryFifty,
    Memory,
    Streamed,
    Task,
    stream,
    summarise_streams,
)
from pipeline.evaluate.tables import print_streams
from pipeline.evaluate.worlds import EvaluationSettings, Truth, build_evaluation_world
from pipeline.live import LookSchedule
from pipeline.parameters import Parameters

SETTINGS = EvaluationSettings(accounts=60, records=120, seed=5, attack_share=0.3, days=3)


@pytest.fixture(scope="module")
def streamed() -> Streamed:
    # A level that nobody would choose, so that a small world has alarms.
    return stream(Task(SETTINGS, 0.3))


def test_alarms_come_at_looks_that_are_due(streamed: Streamed) -> None:
    schedule = LookSchedule()
    due = {schedule.records(look) for look in range(12)}
    records = np.array([each.records for each in streamed.truth])
    first = streamed.first[SCHEDULE]
    assert (first > 0).any()
    assert set(first[first > 0]) <= due
    assert (first <= records).all()
    naive = streamed.first[EVERY_STEP]
    assert set(naive % 50) == {0}
    # More looks at a higher level: whoever the schedule accuses is accused the naive way too, no later.
    assert (naive[first > 0] > 0).all()
    assert (naive[first > 0] <= first[first > 0]).all()
    assert (naive > 0).sum() > (first > 0).sum()


def test_every_fifty_spends_the_whole_level_at_each_look() -> None:
    naive, schedule = EveryFifty(alpha=0.01), LookSchedule(alpha=0.01)
    assert [naive.crossed(a, b) for a, b in ((0, 49), (49, 50), (50, 99), (99, 151))] == [None, 0, None, 2]
    assert [naive.records(look) for look in range(3)] == [50, 100, 150]
    assert {naive.spend(look) for look in range(9)} == {0.01}
    assert (
        sum(schedule.spend(look) for look in range(40)) < 0.01 < sum(naive.spend(look) for look in range(2))
    )


def test_memory_holds_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_MERGE", 3)
    table = pa.concat_tables(build_evaluation_world(replace(SETTINGS, accounts=20)).tables()).slice(0, 800)
    engine = Engine(Parameters.default(), window_seconds=10**9)
    memory = Memory(engine)
    for start in range(0, 800, 100):
        memory.add(table.slice(start, 100))
    names = sorted(pc.unique(table["account_id"]).to_pylist())[:3]
    mine = table.filter(pc.is_in(table["account_id"], pa.array(names)))
    assert memory(names, []).profiles.by_account().equals(engine.profiles(mine).by_account())


def test_the_share_ever_accused_is_counted_by_class() -> None:
    truth = tuple(
        Truth(f"a{i}", kind, kind == "harvest", None, n, 0, (), kind == "tutoring")
        for i, (kind, n) in enumerate(
            [("chat", 60)] * 6 + [("chat", 20)] + [("tutoring", 400)] * 4 + [("harvest", 500)] * 3
        )
    )
    first = np.array([50, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 50, 200, 0])
    world = Streamed(SETTINGS, truth, 1000, 0.1, {SCHEDULE: first, EVERY_STEP: np.where(first, 50, 0)})
    found = summarise_streams([world])["schedules"][SCHEDULE]
    assert found["accused"]["chat"]["count"] == 1
    assert found["accused"]["chat"]["of"] == 6  # one has too few records to be looked at
    assert found["accused"]["specialists"]["value"] == 0.25
    assert found["accused"]["all"]["of"] == 10
    assert found["found"]["harvest"]["count"] == 2
    assert found["records_when_found"] == [50, 50, 200]
    # 2 of 10 may be 10 %: neither kept nor broken, and nobody may read it as kept.
    assert found["bound"] == SEEMS_ABOVE
    assert not found["within_bound"]


def printed(found: dict[str, Any]) -> str:
    stream = io.StringIO()
    print_streams(found, Console(file=stream, width=250))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("accounts", "accused", "alpha", "bound", "words"),
    [
        (1000, 0, 0.1, WITHIN, "within the level of 10.00%"),
        (1000, 60, 0.1, WITHIN, "within the level of 10.00%: 6.00% (interval"),
        (10, 0, 0.1, SEEMS_WITHIN, "the value is below it and the interval's upper end above"),
        (10, 2, 0.1, SEEMS_ABOVE, "the value is above it and the interval's lower end below"),
        (100, 50, 0.1, ABOVE, "ABOVE the level of 10.00%: 50.00%"),
        (0, 0, 0.1, NOBODY, "not measured"),
    ],
)
def test_a_level_is_kept_only_where_the_whole_interval_is(
    accounts: int, accused: int, alpha: float, bound: str, words: str
) -> None:
    truth = tuple(Truth(f"a{i}", "chat", False, None, 60, 0, (), False) for i in range(accounts))
    truth += (Truth("h", "harvest", True, None, 60, 60, (), False),)
    first = np.where(np.arange(accounts + 1) < accused, 50, 0)
    found = summarise_streams([Streamed(SETTINGS, truth, 1000, alpha, {SCHEDULE: first})])
    each = found["schedules"][SCHEDULE]
    assert each["bound"] == bound
    assert each["within_bound"] is (bound == WITHIN)
    assert words in printed(found)
