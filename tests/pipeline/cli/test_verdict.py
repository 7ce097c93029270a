"""`distillwatch verdict` on a small lake: what is recorded, what is refused, and what a file's bad rows are told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import run
from pipeline.clock import ManualClock
from pipeline.engine import Engine
from pipeline.ingest import ingest_file
from pipeline.lake import Lake
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.records.pseudonyms import Pseudonyms
from pipeline.tables import ALERTS, CLUSTERS
from pipeline.verdicts import read_verdicts, standing

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.parameters import Parameters

NOW = datetime(2026, 1, 12, tzinfo=UTC)
SECRET = b"k" * 32


def land(folder: Path, parameters: Parameters, pseudonyms: Pseudonyms | None = None) -> Lake:
    """Accounts ann, bob and cy; the newest window ends on 2026-01-10 at 09:00."""
    lake = Lake.create(
        folder / "lake",
        parameters=parameters,
        clock=ManualClock(NOW),
        pseudonym_fingerprint=pseudonyms.fingerprint if pseudonyms else None,
    )
    log = folder / "log.parquet"
    vector = np.full(parameters.space.dimension, 0.25)
    rows = [
        {
            "request_id": f"r{i}",
            "account_id": name,
            "event_time": datetime(2026, 1, 10, 8, i, tzinfo=UTC),
            "embedding": vector.tolist(),
        }
        for i, name in enumerate(["ann", "bob", "cy"])
    ]
    pq.write_table(pa.Table.from_pylist(rows), log)
    ingest_file(
        lake,
        Engine(parameters),
        RecordDecoder(parameters.space, adapter="native", pseudonyms=pseudonyms),
        log,
        clock=ManualClock(NOW),
        settings=LandingSettings(),
    )
    return lake


@pytest.fixture
def lake(tmp_path: Path, small_parameters: Parameters) -> Lake:
    lake = land(tmp_path, small_parameters)
    as_of = datetime(2026, 1, 10, 9)
    members = [
        {
            "cluster_id": "cluster-1",
            "account_id": name,
            "as_of": as_of,
            "records": 1,
            "links": 1,
            "shared": [],
        }
        for name in ("bob", "ann")
    ]
    alert = {
        "alert_id": "alert-1", "subject_kind": "account", "subject_id": "ann", "members": ["ann"], "detector": "d",
        "evidence": "{}", "provenance": "{}", "as_of": as_of,
    }  # fmt: skip
    old = {
        **alert,
        "alert_id": "alert-2",
        "subject_kind": "cluster",
        "subject_id": "cluster-0",
        "members": ["ann", "cy"],
    }
    for name, schema, rows in (("clusters", CLUSTERS, members), ("alerts", ALERTS, [alert, old])):
        file = lake.put_table(name, pa.Table.from_pylist(rows, schema=schema))
        lake.publish(lambda manifest, name=name, file=file: manifest.with_tables(name, [file]))  # type: ignore[misc]
    return lake


class Program:
    """Runs `distillwatch verdict …` and gives code, rows and messages."""

    def __init__(self, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
        self.lake, self._capsys = lake, capsys

    def __call__(self, *words: object) -> tuple[int, list[dict[str, Any]], str]:
        code = run(["verdict", *map(str, words), "--lake", str(self.lake.root), "--format", "json"])
        said = self._capsys.readouterr()
        return code, json.loads(said.out) if said.out else [], said.err

    def refused(self, *words: object) -> str:
        code, rows, err = self(*words)
        assert (code, rows) == (2, [])
        return err


@pytest.fixture
def verdict(lake: Lake, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(lake, capsys)


def test_what_was_decided_is_recorded_listed_and_withdrawn(
    verdict: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "kim")
    code, (first,), err = verdict("add", "ann", "attack", "--reason", "same essays", "--alert", "alert-1")
    assert code == 0
    assert "next `score`" in err
    assert (first["subject_kind"], first["owner"], first["alert_id"]) == ("account", "kim", "alert-1")
    _, (second,), err = verdict(
        "add", "ann", "allowed", "--reason", "our own red team", "--owner", "lee", "--expires", "2026-03-01"
    )
    assert f"overrules attack by kim ({first['verdict_id']})" in err
    assert second["expires_at"] == "2026-03-01T00:00:00Z"
    assert [row["verdict_id"] for row in verdict("list")[1]] == [second["verdict_id"]]
    assert [row["state"] for row in verdict("list", "--all")[1]] == ["stands", "overruled"]
    assert [row["state"] for row in verdict("list", "--as-of", "2026-03-01")[1]] == ["expired"]
    assert verdict("list", "--subject", "bob")[1] == []
    code, rows, _ = verdict("withdraw", second["verdict_id"], "--reason", "typed the wrong name")
    assert code == 0
    assert [row["state"] for row in rows] == ["withdrawal", "withdrawn", "stands"]
    assert [row["verdict"] for row in verdict("list")[1]] == ["attack"]
    assert "1 stands" in verdict("list")[2]


def test_a_cluster_is_recorded_with_its_members(verdict: Program) -> None:
    _, (row,), _ = verdict("add", "cluster-1", "benign", "--reason", "one company")
    assert (row["subject_kind"], row["members"]) == ("cluster", ["ann", "bob"])
    # Not in the newest scoring any more, but there is an alert about it.
    assert verdict("add", "cluster-0", "attack", "--reason", "r", "--alert", "alert-2")[1][0]["members"] == [
        "ann",
        "cy",
    ]
    assert [len(verdict("list", "--subject", name)[1]) for name in ("ann", "bob", "cy")] == [2, 1, 1]


def test_what_the_lake_does_not_know_is_refused_with_a_way_out(verdict: Program) -> None:
    allowed = ("allowed", "--reason", "r", "--expires", "2026-03-01")
    assert "no records of an account 'dan'" in verdict.refused("add", "dan", *allowed)
    assert "--unseen" in verdict.refused("add", "dan", *allowed)
    assert "no cluster 'ann'" in verdict.refused("add", "ann", *allowed, "--kind", "cluster")
    assert "no cluster 'dan'" in verdict.refused("add", "dan", *allowed, "--kind", "cluster", "--unseen")
    assert "no alert alert-9" in verdict.refused(
        "add", "ann", "attack", "--reason", "r", "--alert", "alert-9"
    )
    assert "about account ann, not about 'bob'" in verdict.refused(
        "add", "bob", "attack", "--reason", "r", "--alert", "alert-1"
    )
    assert "`allowed` needs a date" in verdict.refused("add", "ann", "allowed", "--reason", "r")
    assert "only `allowed` expires" in verdict.refused("add", "ann", "attack", *allowed[1:])
    # The newest window ends at 09:00; as of then it would have expired already.
    at_nine = ("allowed", "--reason", "r", "--expires", "2026-01-10T09:00:00")
    assert "would have expired" in verdict.refused("add", "ann", *at_nine)
    assert read_verdicts(verdict.lake.snapshot()) == []
    assert verdict("add", "dan", *allowed, "--unseen")[0] == 0
    assert verdict("add", "ann", *at_nine[:-1], "2026-01-10T09:00:01")[0] == 0
    assert sorted(standing(verdict.lake.snapshot(), None).allowed) == ["ann", "dan"]


def test_accounts_behind_pseudonyms_are_named_by_their_true_names_with_the_key_alone(
    tmp_path: Path, small_parameters: Parameters, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, secret in (("key", SECRET), ("other", SECRET[::-1] + b"x")):
        (tmp_path / name).write_bytes(secret)
        (tmp_path / name).chmod(0o600)
    pseudonyms = Pseudonyms(SECRET)
    verdict = Program(land(tmp_path, small_parameters, pseudonyms), capsys)
    allowed = ("allowed", "--reason", "r", "--expires", "2026-03-01")
    assert "holds pseudonyms" in verdict.refused("add", "ann", *allowed, "--unseen")
    assert "not the pseudonym key" in verdict.refused(
        "add", "ann", *allowed, "--pseudonym-key", tmp_path / "other"
    )
    _, (row,), _ = verdict("add", "ann", *allowed, "--pseudonym-key", tmp_path / "key")
    assert row["subject_id"] == pseudonyms.one("account_id", "ann")
    assert verdict("add", pseudonyms.one("account_id", "zoe"), *allowed, "--unseen")[0] == 0


CSV = """subject,reason,owner,expires,verdict,kind
ann,"research
contract",lab,2026-06-01,,
bob,,lab,2026-06-01,,

cy,contract,lab,soon,,
ann,again,lab,2026-06-01,,
zoe,contract,lab,2026-06-01,,
cy,contract,lab,2026-06-01
cluster-1,one firm,,,benign,
cy,contract,lab,2026-06-01,allowed,person
cy,contract,lab,2026-06-01T12:00:00Z,allowed,account
"""
WRONG = {4: "no reason", 6: "'soon' is no date", 7: "named in line 2 already", 8: "no records", 9: "4 cells", 11: "'person'"}  # fmt: skip


def test_a_file_lands_its_good_rows_and_names_its_bad_ones(verdict: Program, tmp_path: Path) -> None:
    path = tmp_path / "allow.csv"
    path.write_text(CSV, encoding="utf-8-sig")
    code, rows, err = verdict("import", path, "--owner", "ops")
    assert code == 1
    told = {
        int(line.split(", line ")[1].split(":")[0]): line for line in err.splitlines() if ", line " in line
    }
    assert set(told) == set(WRONG)
    for line, words in WRONG.items():
        assert words in told[line]
        assert str(path) in told[line]
    assert "3 added, 0 stood already, 6 bad rows" in err
    assert [(row["subject_id"], row["verdict"], row["owner"]) for row in rows] == [
        ("ann", "allowed", "lab"),
        ("cluster-1", "benign", "ops"),
        ("cy", "allowed", "lab"),
    ]
    assert rows[0]["reason"] == "research\ncontract"
    # Every night again: nothing is added.
    before = verdict.lake.manifest()
    assert "0 added, 3 stood already, 6 bad" in verdict("import", path, "--owner", "ops")[2]
    assert verdict.lake.manifest() == before


def test_json_rows_are_named_by_the_line_they_begin_in(verdict: Program, tmp_path: Path) -> None:
    path = tmp_path / "allow.json"
    path.write_text(
        '[\n{"subject": "ann",\n "reason": "r", "owner": "lab", "expires": "2026-06-01"},\n'
        '{"subject": "bob", "reason": "r", "owner": "lab", "expire": "2026-06-01"}, 7,\n'
        '{"subject": 5}\n,{"subject": "cy", "reason": "r", "verdict": "benign", "owner": "lab", "alert": null}]\n'
    )
    code, rows, err = verdict("import", path)
    assert code == 1
    assert [row["subject_id"] for row in rows] == ["ann", "cy"]
    assert [line.split("allow.json, ")[1][:7] for line in err.splitlines()[:3]] == [
        "line 4:",
        "line 4:",
        "line 5:",
    ]
    assert "unknown 'expire'" in err
    assert "7 is no object" in err
    assert "subject is 5, not text" in err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "account,reason\n", "line 1: unknown 'account'; the columns are subject"),
        ("a.csv", "reason\n", "`subject` is missing"),
        ("a.csv", "", "`subject` is missing"),
        ("a.csv", 'subject,reason\nann,"x', "line 2"),
        ("a.json", '[{"subject": "ann"},\n', "line 2"),
        ("a.json", "[{}\n{}]", "line 2: the array does not end here"),
        ("a.json", "[]]", "does not end here"),
        ("a.json", "{}", "no JSON array"),
        ("a.txt", "", "neither .csv nor .json"),
        ("a.csv", b"subject\n\xff", "in UTF-8"),
    ],
)
def test_what_is_no_table_adds_nothing(
    verdict: Program, tmp_path: Path, name: str, text: Any, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in verdict.refused("import", path)
    assert read_verdicts(verdict.lake.snapshot()) == []


def test_an_empty_list_is_no_error(verdict: Program, tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    path.write_text("[ ]\n")
    assert verdict("import", path)[:2] == (0, [])
    code, rows, err = verdict("list")
    assert (code, rows) == (0, [])
    assert "no verdicts; as of 2026-01-10T09:00:00" in err
