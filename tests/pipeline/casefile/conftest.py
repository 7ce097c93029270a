"""One small simulated lake with a planted hydra, scored as any lake is, and the case that it makes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("matplotlib", reason="needs the extra `investigate`")
pytest.importorskip("jinja2", reason="needs the extra `investigate`")

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.casefile import case_document, render
from pipeline.clock import ManualClock
from pipeline.ingest import ingest_file
from pipeline.investigate import Case, open_lake
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.scoring import score_lake
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 12, tzinfo=UTC)
WORLD = WorldSettings(records=12_000, accounts=120, seed=5, attack_share=0.15, days=4)


@dataclass(frozen=True)
class Planted:
    """The lake, the cluster that an alert found, an account with an alert, and a benign one that has none."""

    lake: Path
    cluster: str
    members: tuple[str, ...]
    account: str
    benign: str


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Made once; nobody writes to it but the audit record."""
    folder = tmp_path_factory.mktemp("casefile")
    world = build_world(WORLD)
    log = folder / "log.parquet"
    pq.write_table(pa.concat_tables(Traffic(world, START)), log)
    clock = ManualClock(datetime(2026, 1, 20, tzinfo=UTC))
    lake = open_or_create_lake(folder / "lake", clock=clock)
    engine = engine_for(lake, "numpy")
    ingest_file(
        lake,
        engine,
        RecordDecoder(lake.config.space, adapter="native"),
        log,
        clock=clock,
        settings=LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf")),
    )
    scoring = score_lake(lake, lake.snapshot(), engine, clock, fdr=0.2)
    hydra = {label.account_id for label in world.labels if label.kind == "hydra"}
    cluster = next(each for each in scoring.alerts if each.subject_kind == "cluster")
    alone = next(each for each in scoring.alerts if each.subject_kind == "account")
    assert hydra <= set(cluster.members)
    scores = scoring.tables["account_scores"].select(["account_id", "records", "decision"]).to_pylist()
    benign = max(
        (row for row in scores if row["decision"] == "clear"),
        key=lambda row: (row["records"], row["account_id"]),
    )
    return Planted(
        folder / "lake", cluster.subject_id, cluster.members, alone.subject_id, benign["account_id"]
    )


@pytest.fixture
def lake(planted: Planted, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return shutil.copytree(planted.lake, tmp_path / "lake")


@pytest.fixture(scope="session")
def hydra(planted: Planted) -> Case:
    """The case of the planted hydra."""
    with open_lake(planted.lake, who="tester") as investigation:
        return investigation.case(planted.cluster)


@pytest.fixture(scope="session")
def account(planted: Planted) -> Case:
    """The case of an account with an alert."""
    with open_lake(planted.lake, who="tester") as investigation:
        return investigation.case(planted.account)


@pytest.fixture(scope="session")
def page(hydra: Case) -> str:
    """The case file of the hydra."""
    return render(case_document(hydra))
