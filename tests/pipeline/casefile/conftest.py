"""One small simulated lake with a planted hydra, scored as any lake is, and the case that it makes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("matplotlib", reason="needs the extra `investigate`")
pytest.importorskip("jinja2", reason="needs the extra `investigate`")

from pipeline.casefile import case_document, render
from pipeline.investigate import Case, open_lake

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Planted:
    """The lake, the cluster that an alert found, an account with an alert, and a benign one that has none."""

    lake: Path
    cluster: str
    members: tuple[str, ...]
    account: str
    benign: str


@pytest.fixture(scope="session")
def planted(scored_lake: Any, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Nobody writes to it but the audit record."""
    lake = shutil.copytree(scored_lake.root, tmp_path_factory.mktemp("casefile") / "lake")
    world, scoring = scored_lake.world, scored_lake.scoring
    hydra = {label.account_id for label in world.labels if label.kind == "hydra"}
    cluster = next(each for each in scoring.alerts if each.subject_kind == "cluster")
    alone = next(each for each in scoring.alerts if each.subject_kind == "account")
    assert hydra <= set(cluster.members)
    scores = scoring.tables["account_scores"].select(["account_id", "records", "decision"]).to_pylist()
    benign = max(
        (row for row in scores if row["decision"] == "clear"),
        key=lambda row: (row["records"], row["account_id"]),
    )
    return Planted(lake, cluster.subject_id, cluster.members, alone.subject_id, benign["account_id"])


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
