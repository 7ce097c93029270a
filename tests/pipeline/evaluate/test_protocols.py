"""The protocols on small worlds: real lakes, real alert lists, figures that agree with plain counting."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline.assembly import engine_for
from pipeline.cli.main import run
from pipeline.clock import SystemClock
from pipeline.evaluate import labrai
from pipeline.evaluate.lakes import ingest_log, judge, shorten_log, write_log
from pipeline.evaluate.leak import BOUND, field_numbers, separation
from pipeline.evaluate.product import Judged, Outcome, run_world
from pipeline.evaluate.report import summarise
from pipeline.evaluate.tables import percent, print_report
from pipeline.evaluate.worlds import EvaluationSettings, Truth, build_evaluation_world
from pipeline.records.schema import body_fields
from pipeline.scoring import judge_lake
from pipeline.simulate.content import default_topics
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = EvaluationSettings(accounts=80, records=60, seed=5, attack_share=0.15, days=3)


@pytest.fixture(scope="module")
def judged() -> Judged:
    return run_world(
        SETTINGS,
        ours=["robust"],
        baselines=["volume", "cap"],
        clock=SystemClock(),
        looks=(50,),
        label="a group",
    )


def test_ours_is_what_score_says_of_the_same_log(judged: Judged, tmp_path: Path) -> None:
    world = build_evaluation_world(SETTINGS)
    write_log(world.tables(), pa.schema(body_fields(EmbeddingSpace())), tmp_path / "log.parquet")
    lake = ingest_log(tmp_path / "log.parquet", tmp_path / "lake", SystemClock())
    scores = judge_lake(lake.snapshot(), engine_for(lake)).tables["account_scores"].to_pylist()
    by_account = {row["account_id"]: row for row in scores}
    outcome = judged.outcomes["robust"]
    assert outcome.listed is not None
    for i, each in enumerate(judged.truth):
        row = by_account[each.account_id]
        assert row["records"] == each.records
        assert (row["score"] is None and np.isnan(outcome.score[i])) or row["score"] == outcome.score[i]
        assert (row["decision"] == "alert") == outcome.listed[i]
    found = judge(lake, "robust", [each.account_id for each in world.truth], 0.05, SystemClock())
    assert "topic_entropy" in found.signals
    assert not {"score", "p_value"} & set(found.signals)


def test_a_look_judges_the_first_records_alone(judged: Judged, tmp_path: Path) -> None:
    for outcome in judged.outcomes.values():
        known = ~np.isnan(outcome.looks[50])
        assert (known <= (np.array([each.records for each in judged.truth]) >= 50)).all()
        assert known.any()
    world = build_evaluation_world(SETTINGS)
    write_log(world.tables(), pa.schema(body_fields(EmbeddingSpace())), tmp_path / "log.parquet")
    shorten_log(tmp_path / "log.parquet", tmp_path / "short.parquet", 50)
    whole, short = (pq.read_table(tmp_path / name) for name in ("log.parquet", "short.parquet"))
    counts = {each.account_id: each.records for each in judged.truth}
    name = next(account for account, n in counts.items() if n > 60)
    mine = [
        t.filter(pa.compute.equal(t["account_id"], name))["request_id"].to_pylist() for t in (whole, short)
    ]
    assert mine[1] == mine[0][:50]
    assert set(short["account_id"].to_pylist()) == {account for account, n in counts.items() if n >= 50}


def world_of(
    attack: list[bool], kinds: list[str], score: list[float], listed: list[bool], campaign: str
) -> Judged:
    truth = tuple(
        Truth(f"a{i}", kind, bad, campaign if bad else None, 100, 0, (), kind == "tutoring")
        for i, (bad, kind) in enumerate(zip(attack, kinds, strict=True))
    )
    # Looked at twice: nobody is listed at first.
    early = {50: np.zeros(len(attack), bool), 100: np.array(listed)}
    scores = {50: np.array(score), 100: np.array(score)}
    outcome = Outcome(np.array(score), np.array(listed), np.zeros(len(attack), bool), (), scores, early)
    return Judged(SETTINGS, truth, (), 100 * len(attack), {"ours": outcome})


def test_the_report_counts_what_was_accused_and_found() -> None:
    # 200 benign accounts, one tutor among the two with the highest scores; ten attackers, five above everybody.
    kinds = ["chat"] * 150 + ["tutoring"] * 50 + ["hydra"] * 10
    score = [float(i) / 1000 for i in range(200)] + [5.0] * 5 + [0.0005] * 5
    score[150] = 1.0
    score[0] = 0.9
    listed = [False] * 210
    for i in (150, 200, 201, 202):
        listed[i] = True
    world = world_of([False] * 200 + [True] * 10, kinds, score, listed, "c")
    d = summarise([world, world])["detectors"]["ours"]
    assert d["at_fpr"]["false_positives"]["all"]["value"] == pytest.approx(0.01)
    assert d["at_fpr"]["false_positives"]["tutoring"]["count"] == 2
    assert d["at_fpr"]["false_positives"]["specialists"]["of"] == 100
    assert d["at_fpr"]["detection"]["hydra"]["value"] == 0.5
    # No class above 1 %: of 100 tutors one is allowed, but both worlds have one with this score.
    assert d["at_fpr_in_every_class"]["false_positives"]["tutoring"]["value"] == 0
    assert d["at_fpr_in_every_class"]["detection"]["all"]["value"] == 0.5
    assert d["alert_list"]["false_discovery"]["value"] == pytest.approx(0.25)
    assert d["alert_list"]["detection"]["all"]["value"] == pytest.approx(0.3)
    assert d["alert_list"]["worlds_that_accuse"]["count"] == 2
    assert d["alert_list"]["campaigns"]["value"] == 1  # three of ten members
    assert d["looks"]["median_records_of_those_found"] == 50
    assert d["looks"]["listed_at_any"]["detection"]["value"] == pytest.approx(0.3)
    assert d["looks"]["listed_at_any"]["false_discovery"]["value"] == pytest.approx(0.25)
    assert d["recall_in_top"]["0.01"]["value"] == pytest.approx(0.2)
    assert d["precision_of_first_50"]["value"] == pytest.approx(0.1)


def test_a_summary_is_json_and_prints(judged: Judged) -> None:
    summary = summarise([judged])
    json.dumps(summary, allow_nan=False)
    assert list(summary["groups"]) == ["a group"]
    console = Console(width=250, record=True, file=StringIO())
    print_report(summary, console)
    text = console.export_text()
    assert "specialists" in text
    assert "first 50" in text
    assert percent({"value": 0.123, "low": 0.1, "high": 0.2}) == "12 (10-20)"
    assert percent(None) == "-"


def test_the_leak_check_sees_a_field_that_decides() -> None:
    world = build_evaluation_world(SETTINGS)
    table = pa.concat_tables(world.tables()).drop_columns(["embedding"])
    truth = {each.account_id: each.attack for each in world.truth}
    attack = [truth[name] for name in table["account_id"].to_pylist()]
    place = table.schema.get_field_index("asn")
    marked = table.set_column(place, "asn", pa.array(np.where(attack, 1, 2)))
    for given, leaks in ((table, False), (marked, True)):
        accounts, numbers = field_numbers(given)
        bad = np.array([truth[name] for name in accounts])
        area = separation(numbers["asn mean"], bad)
        assert (max(area, 1 - area) > BOUND) == leaks
    assert {"records", "payment_id distinct", "temperature there", "hour distinct per record"} <= set(numbers)
    assert separation(np.full(len(bad), np.nan), bad) == 0.5


def test_labrai_windows_hold_their_mix() -> None:
    topics = default_topics()
    pair = labrai.Pair("gsm8k", ("snips", "banking77"))
    drawn = labrai.windows(topics, pair, 0.25, 3, 80, 5).reshape(3, 80, -1)
    sources = {
        name: topics.centroid[topics.components(name)].astype(float)
        for name in ("gsm8k", "snips", "banking77")
    }
    nearest = {name: (drawn.astype(float) @ c.T).max(axis=2) for name, c in sources.items()}
    bad = (nearest["gsm8k"] > nearest["snips"]) & (nearest["gsm8k"] > nearest["banking77"])
    assert bad.sum(axis=1) == pytest.approx([20, 20, 20], abs=3)
    # They stand anywhere in the window.
    assert bad[:, :40].sum() == pytest.approx(30, abs=15)
    assert {pair.attack for pair in labrai.pairs_of(topics, 11, 1)} == set(topics.sources)


def test_labrai_finds_what_is_pure_and_hardly_accuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labrai, "POOL_ROWS", 1500)
    found = labrai.run(None, ["mmd", "windows"], [1], pairs=1, count=5, sizes=(100,))
    table = found["table"]["100"]
    for name in ("mmd", "windows"):
        assert table[name]["pure"]["value"] == 1.0
        assert table[name]["benign"]["value"] <= 0.2
    assert table["windows"]["25%"]["value"] == 1.0
    assert set(table["windows"]) == {"benign", "5%", "10%", "25%", "pure"}
    (pair,) = found["ours_by_harvested_corpus"].values()
    assert pair["pure"] == {"alarms": 5, "of": 5}
    assert labrai.threshold(np.full(50, np.nan)) == float("inf")


def test_the_command_prints_tables_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    words = [
        "evaluate",
        "--accounts",
        "60",
        "--records",
        "40",
        "--seeds",
        "1",
        "--attack-share",
        "0.1",
        "--days",
        "2",
    ]
    words += ["--simulated-prompts", "--detector", "robust", "--detector", "rules", "--json", str(out)]
    assert run(words) == 0
    printed = capsys.readouterr()
    assert "Attackers found" in printed.out
    assert "rules" in printed.out
    figures = json.loads(out.read_text())
    assert list(figures["with metadata"]["detectors"]) == ["robust", "rules"]
    assert run(["evaluate", "--detector", "nothing"]) == 2
    assert "no baseline 'nothing'" in capsys.readouterr().err


def test_the_leak_check_fails_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--protocol", "leak", "--accounts", "60", "--records", "40", "--seeds", "1"]
    words += ["--attack-share", "0.2", "--days", "2", "--simulated-prompts"]
    # No bound that small is kept by anything: the verdict, the exit code and the figures are then those of a leak.
    monkeypatch.setattr("pipeline.evaluate.leak.BOUND", 0.5)
    assert run(words) == 1
    assert "LEAK" in capsys.readouterr().out
