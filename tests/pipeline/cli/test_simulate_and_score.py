"""The commands simulate and score, end to end through files: what they print, write and refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from pipeline.alerts import Alert
from pipeline.cli.main import run
from pipeline.detectors.forest import shipped_forest
from pipeline.lake import Lake
from pipeline.simulate.labels import read_labels

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def simulate(path: Path, *more: str) -> int:
    return run(
        [
            "simulate",
            "--records",
            "6000",
            "--accounts",
            "60",
            "--end",
            "2026-01-12",
            "--out",
            str(path),
            *more,
        ]
    )


def test_simulate_writes_records_and_labels_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.parquet"
    assert simulate(path) == 0
    said = json.loads(capsys.readouterr().out)
    labels = read_labels(tmp_path / "log.parquet.labels.jsonl")
    table = pq.read_table(path)
    assert said["records"] == table.num_rows == 6000 == sum(label.records for label in labels)
    assert said["attacking_accounts"] == sum(label.attack for label in labels) == 3
    assert set(table["account_id"].to_pylist()) == {label.account_id for label in labels}
    assert not {"label", "attack", "kind"} & set(table.column_names)


def test_simulate_wants_exactly_one_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--records", "100"]) == 2
    assert "--out FILE or --bootstrap-servers" in capsys.readouterr().err
    assert simulate(tmp_path / "log.csv") == 2
    assert "does not say which format" in capsys.readouterr().err


def test_score_prints_the_alert_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, lake = tmp_path / "log.jsonl", tmp_path / "lake"
    assert simulate(path, "--attack-share", "0.3") == 0
    assert run(["ingest", "--lake", str(lake), str(path)]) == 0
    capsys.readouterr()
    assert run(["score", "--lake", str(lake), "--fdr", "0.5", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert rows
    assert rows == sorted(rows, key=lambda row: row["p_value"])
    # Fewer accounts than make a population of their own.
    assert "judged by the shipped population" in err
    assert f"distillwatch alerts --lake {lake}" in err
    assert run(["verify", "--lake", str(lake), "--alert", rows[0]["alert_id"]]) == 0


def alerts(lake: Path) -> list[Alert]:
    snapshot = Lake.open(lake).snapshot()
    return [
        Alert.from_row(row)
        for path in snapshot.table_files("alerts")
        for row in pq.read_table(path).to_pylist()
    ]


def test_several_alerts_are_verified_at_once_and_each_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, lake = tmp_path / "log.jsonl", tmp_path / "lake"
    assert simulate(path, "--attack-share", "0.3") == 0
    assert run(["ingest", "--lake", str(lake), str(path)]) == 0
    assert run(["score", "--lake", str(lake), "--fdr", "0.5"]) == 0
    one, two, *_ = alerts(lake)
    capsys.readouterr()
    words = ["verify", "--lake", str(lake), "--alert", one.alert_id, "--alert", two.alert_id]
    assert run(words) == 0
    out = capsys.readouterr().out
    assert out.count("no difference") == 2
    assert one.alert_id in out
    assert two.alert_id in out
    # Another that says a score it never had: it is named, and the one beside it holds.
    changed = replace(two, alert_id="alert-changed", score=two.score + 1)
    Lake.open(lake).store.put_bytes(json.dumps(changed.to_json()).encode(), "alerts/alert-changed.json")
    assert run([*words[:5], "--alert", "alert-changed", "--format", "json"]) == 1
    out, err = capsys.readouterr()
    meaning, row = json.loads(out)
    assert {meaning["alert_id"], row["alert_id"]} == {"alert-changed"}
    assert meaning["difference"].startswith(
        f"{two.subject_kind} {two.subject_id}: its landed records are those"
    )
    assert "the alert itself was changed" in meaning["difference"]
    assert "score is" in row["difference"]
    assert one.alert_id in err
    assert run([*words, "--alert", "alert-of-nobody"]) != 0
    assert "no alert alert-of-nobody" in capsys.readouterr().err


def test_a_model_is_kept_in_the_lake_and_a_changed_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # These few accounts are ranked among themselves, as a forest is meant to judge.
    monkeypatch.setattr("pipeline.scoring.MIN_POPULATION", 10)
    path, lake, model = tmp_path / "log.jsonl", tmp_path / "lake", tmp_path / "own.npz"
    # As `refit` makes them: without the second p-value and its calibration.
    own = replace(shipped_forest(), fitted={"by": "us"}, standard_null=None, agreed=None)
    own.save(model)
    assert own.fingerprint != shipped_forest().fingerprint
    assert simulate(path, "--attack-share", "0.3") == 0
    assert run(["ingest", "--lake", str(lake), str(path)]) == 0
    capsys.readouterr()
    assert run(["score", "--lake", str(lake), "--fdr", "0.99", "--model", str(model)]) == 0
    assert "p-values were not calibrated on whole worlds" in capsys.readouterr().err
    kept = lake / "models" / f"{own.fingerprint}.npz"
    assert kept.read_bytes() == model.read_bytes()
    model.unlink()
    raised = [alert for alert in alerts(lake) if alert.subject_kind == "account"]
    assert raised
    assert {(alert.detector, alert.provenance["detector"]) for alert in raised} == {
        ("forest", own.fingerprint)
    }
    verify = ["verify", "--lake", str(lake), "--alert", raised[0].alert_id]
    assert run(verify) == 0
    for change, said in (
        (replace(own, fitted={"by": "others"}).save, "now has the fingerprint"),
        (lambda place: place.write_bytes(b"nothing"), "is not a fitted forest"),
    ):
        kept.chmod(0o644)
        change(kept)
        capsys.readouterr()
        assert run(verify) != 0
        out = " ".join(capsys.readouterr().out.split())
        assert str(kept) in out
        assert said in out


def test_score_of_an_empty_lake_prints_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    run(["ingest", "--lake", str(tmp_path / "lake"), str(empty)])
    capsys.readouterr()
    assert run(["score", "--lake", str(tmp_path / "lake"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
