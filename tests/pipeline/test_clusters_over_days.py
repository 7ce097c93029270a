"""A cluster that grows from one day to the next: its name, what is said of who joined, and alerts that stay the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import ManualClock
from pipeline.clusters import judge
from pipeline.clusters.find import cluster_id
from pipeline.ingest import ingest_file
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.rederivation import rederive_all
from pipeline.scoring import Scoring, judge_lake, score_lake
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.verdicts import Verdict, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake import Lake

START = datetime(2026, 1, 12, tzinfo=UTC)
CLOCK = ManualClock(START)
FIRST, SECOND = datetime(2026, 1, 11), datetime(2026, 1, 12)
SETTINGS = WorldSettings(records=5_000, accounts=60, seed=5, attack_share=0.2, days=2)
FDR = 0.99


@pytest.fixture(scope="module", autouse=True)
def few_accounts_suffice() -> Iterator[None]:
    """Clusters are judged in this small lake too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "FEWEST_ACCOUNTS", 10)
        yield


class Days(NamedTuple):
    lake: Lake
    engine: Engine
    members: tuple[str, ...]
    late: str
    scorings: tuple[Scoring, Scoring]

    @property
    def name(self) -> str:
        """The cluster's: it was found without the one who came late."""
        return cluster_id([name for name in self.members if name != self.late])

    def published(self, name: str) -> list[dict[str, object]]:
        return [
            row for path in self.lake.snapshot().table_files(name) for row in pq.read_table(path).to_pylist()
        ]


def land(folder: Path, records: pa.Table) -> tuple[Lake, Engine]:
    lake = open_or_create_lake(folder / "lake", clock=CLOCK)
    engine = engine_for(lake, "numpy")
    path = folder / "log.parquet"
    pq.write_table(records, path)
    endless = LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf"))
    decoder = RecordDecoder(lake.config.space, adapter="native")
    ingest_file(lake, engine, decoder, path, clock=CLOCK, settings=endless)
    return lake, engine


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    world = build_world(SETTINGS)
    members = sorted((label.records, label.account_id) for label in world.labels if label.campaign)
    late = members[1][1]
    records = pa.concat_tables(Traffic(world, START))
    early = pc.less(records["event_time"], pa.scalar(FIRST, pa.timestamp("us")))
    lake, engine = land(
        tmp_path_factory.mktemp("days"),
        records.filter(pc.invert(pc.and_(pc.equal(records["account_id"], late), early))),
    )
    scorings = [
        score_lake(lake, lake.snapshot(), engine, CLOCK, as_of=as_of, fdr=FDR) for as_of in (FIRST, SECOND)
    ]
    names = tuple(sorted(name for _, name in members))
    return Days(lake, engine, names, late, (scorings[0], scorings[1]))


def test_it_keeps_its_name_and_one_account_has_joined(days: Days) -> None:
    joined = [
        (row["as_of"], row["account_id"], row["change"])
        for row in days.published("cluster_changes")
        if row["cluster_id"] == days.name
    ]
    early = [(FIRST, name, "joined") for name in days.members if name != days.late]
    assert joined == [*early, (SECOND, days.late, "joined")]
    (score,) = [row for row in days.published("cluster_scores") if row["cluster_id"] == days.name]
    assert (score["members"], score["members_hash"]) == (len(days.members), cluster_id(days.members))
    assert cluster_id(days.members) != days.name
    rows = [row["account_id"] for row in days.published("clusters") if row["cluster_id"] == days.name]
    assert rows == list(days.members)


def test_judging_a_time_again_adds_nothing(days: Days) -> None:
    lake, engine = days.lake, days.engine
    before = days.published("cluster_changes")
    for as_of in (SECOND, FIRST, SECOND):
        again = score_lake(lake, lake.snapshot(), engine, CLOCK, as_of=as_of, fdr=FDR)
        assert days.published("cluster_changes") == before
    first = [
        (alert.alert_id, alert.subject_id, alert.p_value, alert.evidence) for alert in days.scorings[1].alerts
    ]
    assert [
        (alert.alert_id, alert.subject_id, alert.p_value, alert.evidence) for alert in again.alerts
    ] == first


def test_ids_of_alerts_do_not_depend_on_earlier_runs(days: Days, tmp_path: Path) -> None:
    snapshot = days.lake.snapshot()
    with_history = days.scorings[1].alerts
    assert days.name in {alert.subject_id for alert in with_history}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.cluster_scoring._history", lambda _: [])
        without = judge_lake(snapshot, days.engine, as_of=SECOND, fdr=FDR).alerts
    assert [alert.alert_id for alert in without] == [alert.alert_id for alert in with_history]
    assert days.name not in {alert.subject_id for alert in without}


def test_a_verdict_under_the_lasting_name_holds_when_the_alert_is_derived_again(days: Days) -> None:
    lake, engine = days.lake, days.engine
    verdict = Verdict("cluster", days.name, "benign", "looked at it", "kim", decided_at=FIRST)
    record(lake, [verdict])
    scoring = score_lake(lake, lake.snapshot(), engine, CLOCK, as_of=SECOND, fdr=FDR)
    (alert,) = [each for each in scoring.alerts if each.subject_id == days.name]
    assert alert.evidence["verdict"]["subject"] == days.name
    assert rederive_all(lake, [alert], engine) == [[]]
