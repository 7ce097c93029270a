"""A lake large enough to be its own population, judged by the forest: equal answers whatever way it was landed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import lake_accounts
from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import ManualClock
from pipeline.clusters.models import shipped_groups
from pipeline.detectors.forest import shipped_forest
from pipeline.errors import LakeError
from pipeline.ingest import ingest_file
from pipeline.lake.reader import account_shares, iter_accounts, iter_profiles, read_profiles
from pipeline.lake_accounts import Activity, LakeAccounts, read_accounts
from pipeline.lake_records import record_blocks
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.rederivation import rederive_all
from pipeline.replay import replay
from pipeline.scoring import MIN_POPULATION, Scoring, judge_lake, score_lake
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.alerts import Alert
    from pipeline.engine import Engine
    from pipeline.lake import Lake

START = datetime(2026, 1, 12, tzinfo=UTC)
CLOCK = ManualClock(START)
SETTINGS = WorldSettings(
    records=66_000, accounts=330, seed=77, attack_share=0.08, days=3, plain_harvests=True
)
MOST = 60
FDR = 0.3


class Judged(NamedTuple):
    lake: Lake
    engine: Engine
    scoring: Scoring


@pytest.fixture(scope="module")
def records() -> pa.Table:
    """The first records of every account, so that many accounts make a small lake."""
    table = pa.concat_tables(Traffic(build_world(SETTINGS), START))
    accounts = table["account_id"].to_numpy(zero_copy_only=False)
    order = np.argsort(accounts, kind="stable")
    _, first, counts = np.unique(accounts[order], return_index=True, return_counts=True)
    nth = np.empty(len(order), np.int64)
    nth[order] = np.arange(len(order)) - np.repeat(first, counts)
    return table.filter(pa.array(nth < MOST))


def land(folder: Path, records: pa.Table, **settings: float) -> tuple[Lake, Engine]:
    lake = open_or_create_lake(folder / "lake", clock=CLOCK)
    engine = engine_for(lake, "numpy")
    path = folder / "log.parquet"
    pq.write_table(records, path)
    endless = {"segment_seconds": float("inf"), "roll_up_seconds": float("inf")}
    ingest_file(
        lake,
        engine,
        RecordDecoder(lake.config.space, adapter="native"),
        path,
        clock=CLOCK,
        settings=LandingSettings(**endless, **settings),  # type: ignore[arg-type]
    )
    return lake, engine


@pytest.fixture(scope="module")
def landed(records: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    lake, engine = land(tmp_path_factory.mktemp("landed"), records)
    return Judged(lake, engine, score_lake(lake, lake.snapshot(), engine, CLOCK, fdr=FDR))


def said(alert: Alert) -> tuple[object, ...]:
    """All that an alert says but where its records lie."""
    return (
        alert.alert_id,
        alert.subject_kind,
        alert.subject_id,
        alert.members,
        alert.score,
        alert.p_value,
        alert.as_of,
        json.dumps(alert.evidence, sort_keys=True, default=str),
    )


def test_the_forest_judges_among_the_lakes_own_accounts(landed: Judged) -> None:
    table = landed.scoring.tables["account_scores"]
    assert table.num_rows - table["score"].null_count >= MIN_POPULATION
    assert (landed.scoring.detector, landed.scoring.reference.name) == ("forest", "lake")
    kinds = {alert.subject_kind for alert in landed.scoring.alerts}
    assert "account" in kinds
    assert {alert.detector for alert in landed.scoring.alerts} <= {"forest", "groups"}
    bases = {"account": shipped_forest().trees.base, "cluster": shipped_groups().trees.base}
    for alert in landed.scoring.alerts:
        total = sum(signal["contribution"] for signal in alert.evidence["signals"])
        assert total + bases[alert.subject_kind] == pytest.approx(alert.score)


def test_arrival_order_and_sizes_of_segments_change_no_alert(
    landed: Judged, records: pa.Table, tmp_path: Path
) -> None:
    order = np.random.default_rng(3).permutation(records.num_rows)
    lake, engine = land(tmp_path, records.take(pa.array(order)), segment_records=3_000, roll_up_records=8_000)
    again = judge_lake(lake.snapshot(), engine, fdr=FDR)
    assert [said(alert) for alert in again.alerts] == [said(alert) for alert in landed.scoring.alerts]
    for name in ("account_scores", "cluster_scores", "clusters", "cluster_edges"):
        assert again.tables[name].equals(landed.scoring.tables[name]), name


# Small lakes show the same in the gate (`test_scoring`, `tests/shows/same_alerts.py`).
@pytest.mark.slow
def test_alerts_hold_before_and_after_replay_and_are_raised_again(landed: Judged) -> None:
    lake, engine, scoring = landed
    alerts = list(scoring.alerts)
    assert rederive_all(lake, alerts, engine) == [[] for _ in alerts]
    assert replay(lake, engine, clock=CLOCK, score=False).published
    again = judge_lake(lake.snapshot(), engine, fdr=FDR)
    assert [said(alert) for alert in again.alerts] == [said(alert) for alert in alerts]
    assert rederive_all(lake, alerts, engine) == [[] for _ in alerts]


def of_windows(found: LakeAccounts, activity: Activity) -> dict[tuple[str, int], int]:
    names = found.table.account_id[activity.row]
    rows = zip(names.tolist(), activity.start.tolist(), activity.records.tolist(), strict=True)
    return {(name, start): records for name, start, records in rows}


def test_activity_follows_its_account_over_blocks_and_shares(
    landed: Judged, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake, engine, _ = landed
    snapshot = lake.snapshot()
    windows = read_profiles(snapshot, engine)
    keys = zip(windows.account_id.tolist(), windows.window_start.tolist(), strict=True)
    wanted = dict(zip(keys, windows.records.tolist(), strict=True))

    monkeypatch.setattr(lake_accounts, "iter_accounts", partial(iter_accounts, block_windows=64))
    assert len(list(iter_profiles(snapshot, engine, block_windows=64))) > 3
    one = read_accounts(snapshot, engine, None, None)
    assert of_windows(one, one.activity) == wanted

    monkeypatch.setattr(lake_accounts, "record_blocks", partial(record_blocks, rows=2_000))
    below = read_accounts(snapshot, engine, None, None, vector=snapshot.vector)
    assert of_windows(below, below.activity) == wanted

    written = [
        lake_accounts._read_share(
            tmp_path / str(number), snapshot, engine.parameters, engine.window_seconds, None, None, each
        )
        for number, each in enumerate(account_shares(snapshot, 3))
    ]
    assert len(written) == 3
    shares = [lake_accounts._Packed.taken(path) for path in written]
    assert not any(path.exists() for path in written)
    pieces = [piece for share in shares for piece in share.unpacked(engine.parameters)]
    joined = LakeAccounts.joined(pieces, engine)
    assert joined.table.account_id.tolist() == one.table.account_id.tolist()
    assert of_windows(joined, joined.activity) == wanted


def test_no_room_for_what_was_read_names_the_place_and_the_way_out(tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "0"
    with pytest.raises(LakeError, match=f"{gone}.*TMPDIR"):
        lake_accounts._Packed.of([]).written(gone)
