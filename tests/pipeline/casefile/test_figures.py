"""What figures are made of, against plain references."""

from __future__ import annotations

import doctest
import itertools
import random
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.investigate import coverage, looks
from pipeline.investigate.drawing import new_figure, shown, style, to_svg
from pipeline.investigate.figures import PAINTERS, graph
from pipeline.investigate.projection import shipped_plane
from pipeline.live import LookSchedule

MODULES = (
    "asked",
    "coverage",
    "drawing",
    "figures.signals",
    "figures.words",
)


@pytest.mark.parametrize(
    "name",
    [f"pipeline.investigate.{name}" for name in MODULES]
    + [
        "pipeline.counted",
        "pipeline.casefile.calibration",
        "pipeline.casefile.page",
        "pipeline.casefile.document",
        "pipeline.indicators.objects",
    ],
)
def test_the_examples_are_right(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_expected_topics_are_the_mean_over_all_draws(counts: list[int], data: st.DataObject) -> None:
    records = data.draw(st.integers(1, sum(counts)))
    every = [topic for topic, times in enumerate(counts) for _ in range(times)]
    drawn = [len(set(each)) for each in itertools.combinations(every, records)]
    assert coverage.expected_topics(counts, records) == pytest.approx(np.mean(drawn), abs=2e-6)


def test_no_more_records_are_drawn_than_there_are() -> None:
    assert np.isnan(coverage.expected_topics([2, 3], 6))
    assert coverage.curve([2, 3])[-1] == (5, 2.0)
    assert coverage.curve([]) == []


def test_the_plane_is_two_right_angles_and_says_what_it_shows() -> None:
    plane = shipped_plane()
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    rng = np.random.default_rng(3)
    vectors = rng.integers(-60, 60, (200, plane.axes.shape[1])).astype(np.int8)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(plane(vectors), (unit - plane.mean) @ plane.axes.T, atol=1e-6)
    whole = np.trace(np.cov(unit.T))
    two = np.trace(np.cov((unit @ plane.axes.T).T))
    assert plane.variance(vectors) == pytest.approx(two / whole, abs=1e-6)
    # The first two of so many directions; the figures of the centres are known.
    assert 0.1 < plane.shown < 0.3
    assert {each.corpus for each in plane.centres if each.harvested} == {
        "gorilla_tooluse", "gpteacher_codegen", "gpteacher_roleplay", "gsm8k", "self_instruct",
    }  # fmt: skip


def test_a_layout_is_the_same_every_time_and_moves_nobody_elses_numbers() -> None:
    edges = [(a, b) for a in range(9) for b in range(a) if (a * b) % 3]
    random.seed(4)
    before = random.getstate()
    once = graph.layout(9, edges)
    assert random.getstate() == before
    assert graph.layout(9, edges) == once
    assert all(0 <= each <= 1 for place in once for each in place)
    assert graph.layout(1, []) == [(0.0, 0.0)]


def test_looks_are_those_of_a_worker_that_saw_these_records(planted, hydra, account) -> None:  # type: ignore[no-untyped-def]
    from pipeline.assembly import engine_for
    from pipeline.detectors import get_detector
    from pipeline.detectors.robust import shipped_references
    from pipeline.investigate.case import fixed
    from pipeline.lake import Lake
    from pipeline.signals import Context, signal_table

    lake = Lake.open(planted.lake)
    engine = engine_for(lake, "numpy")
    records = fixed(account.answers["case_prompts"].table, lake.config.space.dimension)
    found = looks.looks(records, engine)
    assert [each.records for each in found] == [
        n for n in (50, 100, 200, 400, 800, 1600) if n <= len(records)
    ]
    assert [each.level for each in found] == [LookSchedule().spend(k) for k in range(len(found))]
    for each in found:
        reference = shipped_references()[f"shipped-{each.records}"]
        whole = engine.profiles(records.slice(0, each.records)).by_account()
        judged = get_detector().judge(signal_table(whole, Context(reference.population)), reference)
        assert (each.score, each.p_value) == (judged.score[0], judged.p_value[0])
    # A cluster's records count as those of one account.
    together = fixed(hydra.answers["case_prompts"].table, lake.config.space.dimension)
    assert len(looks.looks(together, engine)) == sum(
        n <= len(together) for n in (50, 100, 200, 400, 800, 1600)
    )


def test_figures_say_what_the_records_say(planted, hydra) -> None:  # type: ignore[no-untyped-def]
    from pipeline.lake import Lake
    from pipeline.lake_records import record_blocks

    columns = ["account_id", "event_time", "prompt_hash", "payment_id"]
    rows = [
        row
        for block in record_blocks(Lake.open(planted.lake).snapshot(), planted.members, None, None, columns)
        for row in block.to_pylist()
    ]
    timeline = hydra.figure("timeline")
    assert sum(each["records"] for each in timeline.data["days"]) == len(rows)
    assert len(timeline.data["lines"]) == len(planted.members)
    by_day = {each["day"]: each["accounts"] for each in timeline.data["days"]}
    day = rows[0]["event_time"].date().isoformat()
    assert by_day[day] == len({r["account_id"] for r in rows if r["event_time"].date().isoformat() == day})
    prompts = [row["prompt_hash"] for row in rows if row["prompt_hash"] is not None]
    (panel,) = (each for each in hydra.figure("repeats").data["panels"] if each["kind"] == "prompt")
    assert (panel["records"], panel["different"]) == (len(prompts), len(set(prompts)))
    payments = {row["payment_id"]: set() for row in rows if row["payment_id"]}
    for row in rows:
        if row["payment_id"]:
            payments[row["payment_id"]].add(row["account_id"])
    shown_payments = {row[1]: row[2] for row in hydra.figure("networks").rows if row[0] == "payment"}
    assert shown_payments
    assert all(len(payments[value]) == accounts for value, accounts in shown_payments.items())


@pytest.mark.parametrize("name", list(PAINTERS))
def test_a_chart_is_the_same_every_time(name: str, hydra) -> None:  # type: ignore[no-untyped-def]
    figure = hydra.figure(name)
    first, second = (to_svg(figure.draw(), "f", figure.title, figure.caption) for _ in range(2))
    assert first == second
    assert 'role="img"' in first


@pytest.mark.parametrize(
    "text", ["$\\frac", "<b>&amp;", "\x00\x1b", "\u202e\u2066", "漢字 ظ 🙂", "--><!--", "a" * 500]
)
def test_any_name_can_be_drawn(text: str) -> None:
    with style():
        figure = new_figure(1)
        figure.subplots().annotate(shown(text), (0.5, 0.5))
    svg = to_svg(figure, "f", text if "\x00" not in text else "", "")
    assert "<!--" not in svg.replace("&lt;!--", "")
    assert "\u202e" not in svg.partition("</desc>")[2]
