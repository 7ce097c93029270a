"""A verdict changes what it says and nothing else: scored lakes with and without, side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import scoring as module
from pipeline.alerts import Alert
from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.cli.score import _summary
from pipeline.clock import ManualClock
from pipeline.detectors.fdr import q_values
from pipeline.detectors.robust import RobustDetector
from pipeline.ingest import ingest_file
from pipeline.lake.reader import read_records
from pipeline.landing import LandingSettings
from pipeline.live import LakeSource, LiveScorer, LookSchedule
from pipeline.records.decode import RecordDecoder
from pipeline.rederivation import rederive_all
from pipeline.scoring import Scoring, judge_lake, judge_range, score_lake
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.verdict_effect import Held, cluster_evidence, list_q_values
from pipeline.verdicts import Standing, Verdict, record, stand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.engine import Engine
    from pipeline.lake import Lake

START = datetime(2026, 1, 12, tzinfo=UTC)
DECIDED = datetime(2026, 1, 12)
SETTINGS = WorldSettings(records=9_000, accounts=80, seed=78, attack_share=0.1, days=3, plain_harvests=True)
FDR = 0.3
# What verdicts change does not depend on the detector; this one needs no large lake.
DETECTOR = RobustDetector()


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Engine]:
    folder = tmp_path_factory.mktemp("verdicts")
    clock = ManualClock(START)
    lake = open_or_create_lake(folder / "lake", clock=clock)
    engine = engine_for(lake, "numpy")
    path = folder / "log.parquet"
    pq.write_table(pa.concat_tables(Traffic(build_world(SETTINGS), START)), path)
    decoder = RecordDecoder(lake.config.space, adapter="native")
    everything = LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf"))
    ingest_file(lake, engine, decoder, path, clock=clock, settings=everything)
    return lake, engine


@pytest.fixture(scope="module", autouse=True)
def own_population() -> Iterator[None]:
    """These few accounts are ranked among themselves, as those of a lake of real size are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MIN_POPULATION", 30)
        yield


@pytest.fixture(scope="module")
def plain(landed: tuple[Lake, Engine]) -> Scoring:
    lake, engine = landed
    found = judge_lake(lake.snapshot(), engine, detector=DETECTOR, fdr=FDR)
    assert found.reference.name == "lake"
    assert len([alert for alert in found.alerts if alert.subject_kind == "account"]) >= 3
    return found


def all_alerts(lake: Lake) -> list[Alert]:
    (path,) = lake.snapshot().table_files("alerts")
    return [Alert.from_row(row) for row in pq.read_table(path).to_pylist()]


def said(subject: str, verdict: str, **more: Any) -> Verdict:
    more = {"expires_at": datetime(2027, 1, 1), **more} if verdict == "allowed" else more
    return Verdict("account", subject, verdict, "looked at it", "kim", **{"decided_at": DECIDED, **more})


def judged_with(landed: tuple[Lake, Engine], verdicts: list[Verdict], plain: Scoring) -> Scoring:
    lake, engine = landed
    standing = stand(verdicts, plain.as_of)
    return judge_range(lake.snapshot(), engine, None, None, detector=DETECTOR, fdr=FDR, standing=standing)


def rows(scoring: Scoring) -> dict[str, dict[str, Any]]:
    return {row["account_id"]: row for row in scoring.tables["account_scores"].to_pylist()}


def accused(scoring: Scoring) -> list[str]:
    return [alert.subject_id for alert in scoring.alerts if alert.subject_kind == "account"]


def test_an_allowed_account_is_scored_like_everybody_and_is_no_alert(landed: Any, plain: Scoring) -> None:
    first, *_ = accused(plain)
    quiet = next(name for name, row in rows(plain).items() if row["decision"] == "clear")
    thin = next(name for name, row in rows(plain).items() if row["p_value"] is None)
    verdicts = [said(name, "allowed") for name in (first, quiet, thin)]
    found = judged_with(landed, verdicts, plain)
    assert found.reference.fingerprint == plain.reference.fingerprint
    assert rows(found)[first]["decision"] == "allowed"
    assert rows(found)[quiet]["decision"] == "clear"
    assert rows(found)[thin]["decision"] == "cannot_tell"
    assert accused(found) == [name for name in accused(plain) if name != first]
    held = {each.subject_id: each.verdict_id for each in verdicts}
    for name, row in rows(found).items():
        before = rows(plain)[name]
        # Who is not on the list has no part in its rate: their q-values are of a list without these three.
        changed = {"decision", "verdict_id"} if name in held else {"q_value"}
        assert {key for key in row if row[key] != before[key]} <= changed, name
        assert row["verdict_id"] == held.get(name)
    others = [row for name, row in rows(found).items() if name not in held]
    p = np.array([np.nan if row["p_value"] is None else row["p_value"] for row in others])
    q = np.array([np.nan if row["q_value"] is None else row["q_value"] for row in others])
    assert np.array_equal(q, q_values(p), equal_nan=True)


def test_an_account_found_attacking_is_no_part_of_the_population_and_still_judged(
    landed: Any, plain: Scoring
) -> None:
    first = accused(plain)[0]
    found = judged_with(landed, [said(first, "attack")], plain)
    assert found.reference.fingerprint != plain.reference.fingerprint
    records = rows(plain)[first]["records"]
    assert plain.reference.population.records - found.reference.population.records == records
    assert rows(found)[first]["records"] == records
    assert rows(found)[first]["decision"] == "alert"
    alert = next(alert for alert in found.alerts if alert.subject_id == first)
    assert alert.evidence["verdict"]["verdict"] == "attack"


def test_an_attacker_that_is_not_on_the_list_is_left_out_of_the_ranks_too(
    landed: Any, plain: Scoring
) -> None:
    quiet = next(name for name, row in rows(plain).items() if row["decision"] == "clear")
    found = judged_with(landed, [said(quiet, "attack")], plain)
    assert found.reference.accounts == plain.reference.accounts - 1


def test_benign_and_undecided_verdicts_change_no_number(landed: Any, plain: Scoring) -> None:
    one, other, *_ = accused(plain)
    verdicts = [said(one, "benign"), said(other, "undecided")]
    found = judged_with(landed, verdicts, plain)
    ids = {each.subject_id: each.verdict_id for each in verdicts}
    for name, row in rows(found).items():
        assert row == {**rows(plain)[name], "verdict_id": ids.get(name)}
    assert accused(found) == accused(plain)
    for now, before in zip(found.alerts, plain.alerts, strict=True):
        assert now.alert_id == before.alert_id
        assert now.provenance["verdicts"] == found.standing.digest
        assert before.provenance["verdicts"] is None
        said_now = dict(now.evidence)
        verdict = said_now.pop("verdict", None)
        said_now.pop("member_verdicts", None)
        assert said_now == dict(before.evidence)
        if now.subject_kind == "account":
            assert (verdict or {}).get("verdict_id") == ids.get(now.subject_id)


def test_a_verdict_of_the_lake_is_used_published_and_told(landed: Any, plain: Scoring) -> None:
    lake, engine = landed
    first = accused(plain)[0]
    quiet = next(name for name, row in rows(plain).items() if row["decision"] == "clear")
    assert plain.as_of is not None
    scored = score_lake(lake, lake.snapshot(), engine, ManualClock(START), detector=DETECTOR, fdr=FDR)
    assert "; no verdicts;" in _summary(scored)
    verdict = said(first, "allowed", expires_at=datetime(2026, 1, 13))
    found = said(quiet, "attack")
    record(lake, [verdict, found])
    scored = score_lake(lake, lake.snapshot(), engine, ManualClock(START), detector=DETECTOR, fdr=FDR)
    told = _summary(scored)
    assert "1 allowed," in told
    assert (
        "2 verdicts used (1 attack, 1 allowed): 1 accounts left out of the population, 1 out of the alert list"
        in told
    )
    assert first not in accused(scored)
    (path,) = lake.snapshot().table_files("account_scores")
    published = {row["account_id"]: row for row in pq.read_table(path).to_pylist()}
    assert published[first]["verdict_id"] == verdict.verdict_id
    # What was said before stays; what is said now is of another population and says with which verdicts.
    digest = stand([verdict, found], plain.as_of).digest
    raised = {(alert.subject_id, alert.provenance["verdicts"]): alert for alert in all_alerts(lake)}
    assert {when for _, when in raised} == {None, digest}
    assert (first, digest) not in raised
    # Whatever is decided later, an alert is derived again with what stood when it was raised.
    record(
        lake,
        [said(accused(plain)[1], "allowed"), said(quiet, "benign", decided_at=DECIDED + timedelta(days=1))],
    )
    other = next(name for name, when in raised if when == digest and name in accused(plain))
    again = [raised[first, None], raised[other, digest]]
    assert rederive_all(lake, again, engine) == [[], []]
    assert again[0].provenance["reference"] != again[1].provenance["reference"]
    changed = replace(again[1], provenance={**again[1].provenance, "verdicts": "0" * 32})
    assert "rows were lost, added or changed" in rederive_all(lake, [changed], engine)[0][0]


def test_a_live_look_at_an_allowed_account_is_counted_and_is_no_alert(
    landed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, engine = landed
    everything = read_records(lake.snapshot(), columns=["account_id"])

    def look(*verdicts: Verdict) -> tuple[dict[str, dict[str, Any]], int]:
        monkeypatch.setattr("pipeline.live.read_verdicts", lambda _snapshot: list(verdicts))
        source = LakeSource(lake, engine)
        source._read = ((Path("none yet"),), ())
        scorer = LiveScorer(source, engine, schedule=LookSchedule(alpha=0.3, margin=1), detector=DETECTOR)
        raised = scorer.look(scorer.observe(everything), [])
        return {str(alert["subject_id"]): dict(alert) for alert in raised}, scorer.allowed

    plain, none = look()
    assert (len(plain) >= 2, none) == (True, 0)
    first, other, *_ = sorted(plain)
    with_verdicts, counted = look(said(first, "allowed"), said(other, "benign"))
    assert set(with_verdicts) == set(plain) - {first}
    assert counted == 1
    for name, alert in with_verdicts.items():
        assert (alert["alert_id"], alert["p_value"]) == (plain[name]["alert_id"], plain[name]["p_value"])
        assert ("verdict" in json.loads(alert["evidence"])) == (name == other)
    # The allowance is judged by the time of the records.
    assert set(look(said(first, "allowed", expires_at=datetime(2026, 1, 2)))[0]) == set(plain)


def test_a_cluster_is_allowed_by_its_own_verdict_or_when_every_member_is() -> None:
    verdicts = [
        said("a", "allowed"),
        said("b", "allowed"),
        said("d", "attack"),
        Verdict("cluster", "c1", "benign", "r", "o", DECIDED, members=("a", "b")),
        Verdict("cluster", "c4", "allowed", "r", "o", DECIDED, datetime(2027, 1, 1), members=("e",)),
    ]
    standing = stand(verdicts, DECIDED)
    members = {"c1": ["a", "b"], "c2": ["a", "b"], "c3": ["a", "d"], "c4": ["e", "f"], "c5": []}
    held = Held.clusters(list(members), list(members.values()), standing)
    # Its own verdict goes before those of its members: somebody looked at c1 and did not allow it.
    assert held.allowed.tolist() == [False, True, False, True, False]
    assert held.verdict_id == [verdicts[3].verdict_id, None, None, verdicts[4].verdict_id, None]
    told = cluster_evidence("c3", members["c3"], standing)
    assert told["allowed_members"] == ["a"]
    assert {name: each["verdict"] for name, each in told["member_verdicts"].items()} == {
        "a": "allowed",
        "d": "attack",
    }
    assert "verdict" not in told
    assert cluster_evidence("c4", members["c4"], standing)["verdict"]["subject"] == "c4"
    assert cluster_evidence("c9", ["x"], Standing()) == {}


def test_allowed_accounts_are_no_hypotheses_and_keep_the_value_they_would_have_had() -> None:
    rng = np.random.default_rng(1)
    p = np.where(rng.random(60) < 0.1, np.nan, rng.random(60) ** 3)
    allowed = rng.random(60) < 0.3
    q = list_q_values(p, allowed)
    assert np.array_equal(q[~allowed], q_values(p[~allowed]), equal_nan=True)
    assert np.array_equal(q[allowed], q_values(p)[allowed], equal_nan=True)
    assert np.array_equal(list_q_values(p, np.zeros(60, bool)), q_values(p), equal_nan=True)
