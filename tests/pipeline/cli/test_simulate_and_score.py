"""The commands simulate and score, end to end through files: what they print, write and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from pipeline.cli.main import run
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
    assert run(["verify", "--lake", str(lake), "--alert", rows[0]["alert_id"]]) == 0


def test_score_of_an_empty_lake_prints_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    run(["ingest", "--lake", str(tmp_path / "lake"), str(empty)])
    capsys.readouterr()
    assert run(["score", "--lake", str(tmp_path / "lake"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
