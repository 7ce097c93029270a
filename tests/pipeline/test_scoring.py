"""Scoring a real lake: what is found, what is written, and that an alert can be derived again or is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.alerts import Alert, alert_table, find_alert, live_alerts
from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import ManualClock
from pipeline.clusters.models import shipped_groups
from pipeline.detectors.robust import RobustDetector
from pipeline.errors import LakeError, UsageError
from pipeline.ingest import ingest_file
from pipeline.lake import Lake
from pipeline.lake.reader import read_profiles, read_records
from pipeline.landing import LandingSettings
from pipeline.live import LakeSource, LiveScorer, LookSchedule
from pipeline.records.decode import RecordDecoder
from pipeline.rederivation import rederive, rederive_all
from pipeline.scoring import Scoring, judge_lake, publish, score_lake
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.tables import TABLES, empty_table, table_schema

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.simulate.labels import Label

START = datetime(2026, 1, 12, tzinfo=UTC)
SETTINGS = WorldSettings(
    records=30_000, accounts=250, seed=77, attack_share=0.06, days=4, plain_harvests=True
)


def make_lake(folder: Path, records: pa.Table) -> tuple[Lake, Engine]:
    clock = ManualClock(START)
    lake = open_or_create_lake(folder / "lake", clock=clock)
    engine = engine_for(lake, "numpy")
    path = folder / "log.parquet"
    pq.write_table(records, path)
    ingest_file(
        lake,
        engine,
        RecordDecoder(lake.config.space, adapter="native"),
        path,
        clock=clock,
        settings=LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf")),
    )
    return lake, engine


@pytest.fixture(scope="module")
def records() -> pa.Table:
    return pa.concat_tables(Traffic(build_world(SETTINGS), START))


@pytest.fixture(scope="module")
def labels() -> dict[str, Label]:
    return {label.account_id: label for label in build_world(SETTINGS).labels}


@pytest.fixture(scope="module")
def scored(records: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Engine, Scoring]:
    lake, engine = make_lake(tmp_path_factory.mktemp("scored"), records)
    return lake, engine, score_lake(lake, lake.snapshot(), engine, ManualClock(START), fdr=0.2)


def test_every_account_has_a_row_and_thin_ones_no_score(scored, records: pa.Table) -> None:  # type: ignore[no-untyped-def]
    _, _, scoring = scored
    table = scoring.tables["account_scores"]
    counts = Counter(records["account_id"].to_pylist())
    assert dict(zip(table["account_id"].to_pylist(), table["records"].to_pylist(), strict=True)) == counts
    thin = table.filter(pc.less(table["records"], 50))
    assert thin.num_rows > 10
    assert set(thin["decision"].to_pylist()) == {"cannot_tell"}
    assert thin["score"].null_count == thin.num_rows
    assert table.filter(pc.greater_equal(table["records"], 50))["score"].null_count == 0


def test_planted_harvests_are_found_and_hardly_anybody_is_accused(scored, labels: dict[str, Label]) -> None:  # type: ignore[no-untyped-def]
    _, _, scoring = scored
    accused = {alert.subject_id for alert in scoring.alerts if alert.subject_kind == "account"}
    plain = {name for name, label in labels.items() if label.streams[0].startswith("plain")}
    assert len(plain) >= 2
    # In a lake too small for its own ranks p-values are four times larger than the shipped population gives them.
    assert accused & plain
    table = scoring.tables["account_scores"]
    first = sorted(
        (p, name)
        for p, name in zip(table["p_value"].to_pylist(), table["account_id"].to_pylist(), strict=True)
        if p is not None
    )
    assert plain <= {name for _, name in first[: len(plain) + 3]}
    wrong = [labels[name].kind for name in accused if not labels[name].attack]
    assert len(wrong) <= 3, wrong


def test_tables_have_the_schema_and_the_manifest_names_them(scored) -> None:  # type: ignore[no-untyped-def]
    lake, _, scoring = scored
    snapshot = lake.snapshot()
    for name, table in scoring.tables.items():
        assert table.schema.equals(TABLES[name]), name
        landed = pa.concat_tables(
            [empty_table(name), *(pq.read_table(path) for path in snapshot.table_files(name))]
        )
        assert landed.num_rows == table.num_rows, name
    assert scoring.manifest == snapshot.manifest.number
    assert "verdicts" not in scoring.tables
    with pytest.raises(UsageError, match="no result table 'nothing'"):
        table_schema("nothing")


def test_scoring_again_changes_nothing(scored) -> None:  # type: ignore[no-untyped-def]
    lake, engine, scoring = scored
    before = lake.snapshot().manifest
    again = score_lake(lake, lake.snapshot(), engine, ManualClock(START + timedelta(days=9)), fdr=0.2)
    assert [alert.alert_id for alert in again.alerts] == [alert.alert_id for alert in scoring.alerts]
    for name, table in scoring.tables.items():
        if name != "alerts":
            assert again.tables[name].equals(table), name
    assert len(lake.snapshot().manifest.tables["reference_populations"]) == 1
    assert lake.snapshot().manifest.tables["account_scores"] == before.tables["account_scores"]


def test_a_copy_landed_in_another_order_raises_the_same_alerts(
    scored, records: pa.Table, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    _, _, scoring = scored
    order = np.random.default_rng(0).permutation(records.num_rows)
    lake, engine = make_lake(tmp_path, records.take(pa.array(order)))
    again = judge_lake(lake.snapshot(), engine, fdr=0.2)
    assert [alert.alert_id for alert in again.alerts] == [alert.alert_id for alert in scoring.alerts]
    assert [alert.p_value for alert in again.alerts] == [alert.p_value for alert in scoring.alerts]


def test_every_alert_says_its_class_what_would_explain_it_and_which_records_to_read(
    scored, records: pa.Table
) -> None:  # type: ignore[no-untyped-def]
    _, _, scoring = scored
    sent = set(zip(records["account_id"].to_pylist(), records["request_id"].to_pylist(), strict=True))
    kinds = Counter(alert.subject_kind for alert in scoring.alerts)
    assert kinds["account"]
    assert kinds["cluster"]
    classes = dict(
        zip(
            *(scoring.tables["account_scores"][name].to_pylist() for name in ("account_id", "benign_class")),
            strict=True,
        )
    )
    for alert in scoring.alerts:
        benign, look_at = alert.evidence["benign_explanation"], alert.evidence["look_at"]
        assert benign["sentence"]
        named = [
            (each.get("account_id", alert.subject_id), each["request_id"]) for each in look_at["records"]
        ]
        assert named
        assert set(named) <= sent
        assert {name for name, _ in named} <= set(alert.members)
        if alert.subject_kind == "account":
            assert benign["best_class"] == classes[alert.subject_id]
            # Too small a lake for classes of its own, and still accounts to compare with.
            assert benign["shipped"]
            assert benign["unusual"]["accounts"] >= 10
            continue
        theirs = Counter(classes.get(name) for name in alert.members)
        assert {each["benign_class"]: each["members"] for each in benign["classes"]} == {
            name: count for name, count in theirs.items() if name is not None
        }
        assert benign["without_class"] == theirs[None]
        assert benign["best_group"]
        assert len({name for name, _ in named}) > 1


def test_every_alert_is_derived_again_from_its_records(scored) -> None:  # type: ignore[no-untyped-def]
    lake, engine, scoring = scored
    assert scoring.alerts
    alerts = [find_alert(lake, lake.snapshot(), alert.alert_id) for alert in scoring.alerts]
    assert rederive_all(lake, alerts, engine) == [[] for _ in alerts]


def test_an_alert_holds_after_more_records_have_landed(scored, records: pa.Table, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    lake, engine = make_lake(tmp_path, records)
    scoring = score_lake(lake, lake.snapshot(), engine, ManualClock(START), fdr=0.2)
    alert = scoring.alerts[0]
    mine = records.filter(pc.is_in(records["account_id"], pa.array(list(alert.members))))
    make_lake(tmp_path, mine.slice(0, 40))
    assert rederive(lake, alert, engine) == []
    later = score_lake(lake, lake.snapshot(), engine, ManualClock(START), fdr=0.2)
    # The old alert stays with the reference it was judged by; the account's new records make another one.
    kept = {
        row["alert_id"]
        for path in lake.snapshot().table_files("alerts")
        for row in pq.read_table(path).to_pylist()
    }
    assert kept >= {alert.alert_id, *(each.alert_id for each in later.alerts)}
    assert rederive(lake, find_alert(lake, lake.snapshot(), alert.alert_id), engine) == []


def test_a_slow_scoring_does_not_undo_a_faster_one_that_saw_more(records: pa.Table, tmp_path: Path) -> None:
    lake, engine = make_lake(tmp_path, records.slice(0, 6000))
    slow = judge_lake(lake.snapshot(), engine, fdr=0.9)
    # Another chain; the same snapshot judged again replaces what it published itself.
    make_lake(tmp_path, records.slice(6000, 6000))
    fast = score_lake(lake, lake.snapshot(), engine, ManualClock(START), fdr=0.9)

    def published(name: str) -> pa.Table:
        return pa.concat_tables(pq.read_table(path) for path in lake.snapshot().table_files(name))

    def counted() -> int:
        return int(pc.sum(published("account_scores")["records"]).as_py())

    publish(lake, slow)
    assert counted() == 12_000
    assert lake.manifest().judged == fast.vector == lake.snapshot().vector
    assert Lake.open(lake.root).manifest() == lake.manifest()
    # What it accused stays: an alert says itself which records it was judged from.
    raised = {alert.alert_id for scoring in (slow, fast) for alert in scoring.alerts}
    assert raised == set(published("alerts")["alert_id"].to_pylist())
    assert raised > {alert.alert_id for alert in fast.alerts}
    # Equal knowledge, other options: the later answer counts.
    score_lake(lake, lake.snapshot(), engine, ManualClock(START), as_of=datetime(2026, 1, 9))
    assert counted() < 12_000


def test_a_changed_alert_or_lake_is_refused_with_the_reason(
    scored, records: pa.Table, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    lake, engine, scoring = scored
    alert = scoring.alerts[0]
    row = alert.to_row()
    assert any(
        "score is" in text
        for text in rederive(lake, Alert.from_row({**row, "score": row["score"] + 1e-9}), engine)
    )
    evidence = json.loads(row["evidence"])
    evidence["signals"][0]["value"] += 0.5
    changed = Alert.from_row({**row, "evidence": json.dumps(evidence)})
    assert any(evidence["signals"][0]["signal"] in text for text in rederive(lake, changed, engine))
    evidence = json.loads(row["evidence"])
    evidence["benign_explanation"]["class"] = "someone else's"
    changed = Alert.from_row({**row, "evidence": json.dumps(evidence)})
    (said,) = rederive(lake, changed, engine)
    # Of a large object only the field that differs.
    assert said.startswith("evidence 'benign_explanation.class' is ")
    assert len(said) < 200
    # The same log with one prompt of the account altered.
    where = records["account_id"].to_pylist().index(alert.members[0])
    vectors = records["embedding"].to_pylist()
    vectors[where] = vectors[where - 1]
    column = pa.array(vectors, pa.binary(384))
    other, _ = make_lake(
        tmp_path, records.set_column(records.schema.get_field_index("embedding"), "embedding", column)
    )
    publish(other, scoring)
    # Its chain has another name, so say which records are meant.
    moved = Alert.from_row({**row, "provenance": {**alert.provenance, "vector": other.snapshot().vector}})
    assert any("records were altered" in text for text in rederive(other, moved, engine))
    gone = Alert.from_row({**row, "provenance": {**alert.provenance, "vector": {}}})
    assert "no records of" in rederive(lake, gone, engine)[-1]


def changed_at(records: pa.Table, rows: list[int], column: str, value: object) -> pa.Table:
    """The same log with another value of a column in some rows."""
    values = records[column].to_pylist()
    for row in rows:
        assert values[row] != value
        values[row] = value
    at = records.schema.get_field_index(column)
    return records.set_column(at, column, pa.array(values, records.schema.field(column).type))


def rows_of(records: pa.Table, account: str) -> list[int]:
    return [row for row, name in enumerate(records["account_id"].to_pylist()) if name == account]


def test_a_record_altered_in_what_the_profile_does_not_hold_is_told(
    scored, records: pa.Table, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    _, _, scoring = scored
    alert = next(each for each in scoring.alerts if each.subject_kind == "account")
    row = rows_of(records, alert.subject_id)[3]
    other, engine = make_lake(tmp_path, changed_at(records, [row], "organization_id", "org_of_nobody"))
    moved = replace(alert, provenance={**alert.provenance, "vector": other.snapshot().vector})
    (told,) = rederive(other, moved, engine)
    assert "altered in what the profile does not hold" in told


def test_altered_records_of_others_are_told_by_the_population(
    records: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lake large enough to be its own population; a small one is judged by the shipped one, and strangers are nothing
    # to it.
    monkeypatch.setattr("pipeline.scoring.MIN_POPULATION", 20)
    robust = RobustDetector()
    lake, engine = make_lake(tmp_path / "before", records)
    found = judge_lake(lake.snapshot(), engine, detector=robust, fdr=0.9)
    alert = next(each for each in found.alerts if each.subject_kind == "account")
    counts = Counter(records["account_id"].to_pylist())
    accused = {member for each in found.alerts for member in each.members}
    stranger = next(name for name, n in counts.most_common() if name not in accused)
    rows = rows_of(records, stranger)
    changed = changed_at(records, rows[: len(rows) // 2], "output_tokens", 9_999)
    other, engine = make_lake(tmp_path / "after", changed)
    moved = replace(alert, provenance={**alert.provenance, "vector": other.snapshot().vector})
    told = rederive(other, moved, engine, detector=robust)
    assert any("records of other accounts were altered" in text for text in told)


def test_an_unknown_alert_is_named(scored) -> None:  # type: ignore[no-untyped-def]
    lake, _, _ = scored
    with pytest.raises(LakeError, match="no alert alert-x"):
        find_alert(lake, lake.snapshot(), "alert-x")


def test_an_empty_lake_is_scored_without_rows(tmp_path: Path) -> None:
    lake = open_or_create_lake(tmp_path / "lake", clock=ManualClock(START))
    scoring = score_lake(lake, lake.snapshot(), engine_for(lake, "numpy"), ManualClock(START))
    assert scoring.alerts == ()
    assert scoring.tables["account_scores"].num_rows == 0
    assert scoring.as_of is None


def test_lookback_judges_only_what_lies_within(scored, records: pa.Table) -> None:  # type: ignore[no-untyped-def]
    lake, engine, _ = scored
    as_of = datetime(2026, 1, 11)
    scoring = judge_lake(lake.snapshot(), engine, as_of=as_of, lookback=timedelta(days=1), fdr=0.2)
    inside = records.filter(
        pc.and_(
            pc.less(records["event_time"], as_of),
            pc.greater_equal(records["event_time"], as_of - timedelta(days=1)),
        )
    )
    assert sum(scoring.tables["account_scores"]["records"].to_pylist()) == inside.num_rows
    assert set(scoring.tables["account_scores"]["lookback"].to_pylist()) == {86_400}
    for alert in scoring.alerts:
        assert alert.first_seen is not None
        assert alert.first_seen >= as_of - timedelta(days=1)


def test_alerts_survive_their_table_and_their_json(scored) -> None:  # type: ignore[no-untyped-def]
    _, _, scoring = scored
    for alert, row in zip(scoring.alerts, alert_table(scoring.alerts).to_pylist(), strict=True):
        assert Alert.from_row(row) == Alert.from_row(json.loads(json.dumps(alert.to_json())))
        assert alert.evidence["sentences"]
        total = sum(signal["contribution"] for signal in alert.evidence["signals"])
        # Trees begin at what they say of everybody.
        base = shipped_groups().trees.base if alert.subject_kind == "cluster" else 0.0
        assert total + base == pytest.approx(alert.score)


class TestLooks:
    def test_the_levels_of_all_looks_add_up_to_less_than_alpha(self) -> None:
        schedule = LookSchedule(alpha=0.01, margin=1)
        assert 0.0095 < sum(schedule.spend(look) for look in range(10_000)) < 0.01
        # p-values by another population may be too small: so much less is spent.
        assert LookSchedule(alpha=0.01, margin=4).spend(3) == schedule.spend(3) / 4

    def test_each_look_is_due_once_however_records_arrive(self) -> None:
        schedule = LookSchedule()
        rng = np.random.default_rng(3)
        for _ in range(20):
            steps = rng.integers(1, 60, 40)
            ends = np.cumsum(steps)
            seen = [
                schedule.crossed(int(end - step), int(end)) for end, step in zip(ends, steps, strict=True)
            ]
            found = [look for look in seen if look is not None]
            assert found == sorted(set(found))
            assert schedule.look_at(int(ends[-1])) == (found[-1] if found else None)

    def test_a_worker_finds_the_plain_harvests_and_its_alerts_are_derived_again(
        self,
        scored,
        labels: dict[str, Label],  # type: ignore[no-untyped-def]
    ) -> None:
        lake, engine, _ = scored
        source = LakeSource(lake, engine)
        scorer = LiveScorer(source, engine, schedule=LookSchedule(alpha=0.05, margin=1))
        everything = read_records(lake.snapshot(), columns=["account_id"])
        due = scorer.observe(everything)
        assert set(due) == {name for name, label in labels.items() if label.records >= 50}
        assert scorer.observe(everything.slice(0, 0)) == []
        alerts = scorer.look(due, [])
        accused = {str(alert["subject_id"]) for alert in alerts}
        assert accused & {name for name, label in labels.items() if label.streams[0].startswith("plain")}
        for alert in alerts:
            assert alert["p_value"] <= json.loads(alert["evidence"])["look"]["level"]
            assert rederive(lake, Alert.from_row(alert), engine) == []
            said = json.loads(alert["evidence"])
            assert said["benign_explanation"]["best_class"]
            assert said["benign_explanation"]["unusual"]["expected"] is None
            lake.store.put_bytes(json.dumps(alert).encode(), f"alerts/{alert['alert_id']}.json")
        assert {alert.alert_id for alert in live_alerts(lake)} == {alert["alert_id"] for alert in alerts}

    def test_counting_goes_on_where_the_lake_is(self, scored, records: pa.Table) -> None:  # type: ignore[no-untyped-def]
        lake, engine, _ = scored
        assert LakeSource(lake, engine).counts() == Counter(records["account_id"].to_pylist())

    def test_held_records_count_once_before_and_after_they_land(
        self, scored, labels: dict[str, Label]
    ) -> None:  # type: ignore[no-untyped-def]
        lake, engine, _ = scored
        account = max(labels.values(), key=lambda label: label.records).account_id
        snapshot = lake.snapshot()
        landed = read_records(snapshot, [account])
        source = LakeSource(lake, engine)
        before = source([account], [])
        # Held, and landed meanwhile:
        assert source([account], [landed]).profiles.equals(before.profiles)
        # Held, and not landed yet: the same rows at offsets behind the head.
        chain, head = next(iter(snapshot.vector.items()))
        offsets = pa.array(np.arange(head, head + landed.num_rows))
        held = landed.set_column(landed.schema.get_field_index("offset"), "offset", offsets)
        both = source([account], [held])
        assert both.vector[chain] == head + landed.num_rows
        assert both.profiles.records.sum() == 2 * landed.num_rows
        assert read_profiles(snapshot, engine, [account]).records.sum() == landed.num_rows
