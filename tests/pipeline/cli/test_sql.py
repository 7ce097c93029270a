"""`distillwatch sql` as a user meets it."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipeline.cli import sql_rows
from pipeline.cli.main import run
from pipeline.cli.output import Format
from pipeline.lake import Lake
from pipeline.parameters import Parameters
from pipeline.spaces import EmbeddingSpace
from pipeline.tables import ACCOUNT_SCORES, table_schema
from pipeline.warehouse import load_tree

if TYPE_CHECKING:
    from pathlib import Path

    Run = Any

TOP_FIVE = "select * from account_scores order by score desc limit 5"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli-empty") / "lake"
    Lake.create(path, parameters=Parameters.generate(EmbeddingSpace("test-model", 8), seed="cli"))
    return path


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven scored accounts and one alert."""
    path = tmp_path_factory.mktemp("cli-full") / "lake"
    lake = Lake.create(path, parameters=Parameters.generate(EmbeddingSpace("test-model", 8), seed="cli"))
    rows = [
        dict.fromkeys(ACCOUNT_SCORES.names)
        | {
            "account_id": f"account [b]{i}[/b]", "as_of": 1_768_000_000_000_000, "records": 50 + i, "score": i / 8,
            "p_value": 1 / (i + 3), "decision": "clear", "detector": "d", "topic_entropy": float("nan") if i == 6 else 1.5,
        }
        for i in range(7)
    ]  # fmt: skip
    alert = dict.fromkeys(table_schema("alerts").names) | {
        "alert_id": "a1", "subject_kind": "account", "subject_id": "x", "members": ["x"], "detector": "d",
        "evidence": '{"topic_entropy": 3.5}', "provenance": "{}", "as_of": 1_768_000_000_000_000,
    }  # fmt: skip
    files = {
        "account_scores": lake.put_table("account_scores", pa.Table.from_pylist(rows, schema=ACCOUNT_SCORES)),
        "alerts": lake.put_table("alerts", pa.Table.from_pylist([alert], schema=table_schema("alerts"))),
    }
    for name, file in files.items():
        lake.publish(lambda manifest, name=name, file=file: manifest.with_tables(name, [file]))
    return path


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(*words: object) -> tuple[int, str, str]:
        code = run(["sql", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return asked


def test_the_top_scores_of_a_full_lake(full: Path, ask: Run) -> None:
    code, out, err = ask("--lake", full, "-c", TOP_FIVE)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if "account [b]" in line]
    # The brackets are part of the name and no markup.
    assert [line.split("[/b]")[0].strip() for line in lines] == [f"account [b]{i}" for i in (6, 5, 4, 3, 2)]
    assert all(name in out for name in ("account_id", "p_value", "decision", "2026-01-09"))

    code, out, _ = ask("--lake", full, "-c", TOP_FIVE, "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert [row["account_id"][-5] for row in rows] == ["6", "5", "4", "3", "2"]
    assert list(rows[0]) == ACCOUNT_SCORES.names
    assert rows[0]["score"] == 0.75
    assert rows[0]["as_of"] == "2026-01-09T23:06:40Z"
    assert rows[0]["benign_class"] is None
    # JSON knows no NaN.
    assert rows[0]["topic_entropy"] is None

    code, out, _ = ask("--lake", full, "-c", TOP_FIVE, "--format", "csv")
    read = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["score"] for row in read] == ["0.75", "0.625", "0.5", "0.375", "0.25"]


def test_the_top_scores_of_an_empty_lake(empty: Path, ask: Run) -> None:
    code, out, err = ask("--lake", empty, "-c", TOP_FIVE)
    assert (code, err) == (0, "")
    assert "account_id" in out
    assert "(no rows)" in out
    assert ask("--lake", empty, "-c", TOP_FIVE, "--format", "json") == (0, "[]\n", "")
    code, out, _ = ask("--lake", empty, "-c", TOP_FIVE, "--format", "csv")
    assert (code, out) == (0, ",".join(ACCOUNT_SCORES.names) + "\n")


def test_blobs_are_digits_json_is_json_and_names_differ(full: Path, ask: Run) -> None:
    query = r"select '\x00\xFF'::blob as b, ['\xAB'::blob] as l, evidence, 1 as b, 2 as b_2, 3 as b, interval 2 minutes as i from alerts"
    code, out, _ = ask("--lake", full, "-c", query, "--format", "json")
    assert code == 0
    row = json.loads(out)[0]
    assert row == {
        "b": "00ff",
        "l": ["ab"],
        "evidence": {"topic_entropy": 3.5},
        "b_2": 1,
        "b_2_2": 2,
        "b_3": 3,
        "i": 120.0,
    }
    assert (
        ask("--lake", full, "-c", "select evidence from alerts", "--format", "csv")[1]
        == 'evidence\n"{""topic_entropy"": 3.5}"\n'
    )


def test_a_playbook_takes_its_parameters_by_name(full: Path, ask: Run) -> None:
    code, out, err = ask(
        "--lake", full, "why_flagged", "--param", "account_id=account [b]5[/b]", "--format", "json"
    )
    assert (code, err) == (0, "")
    assert [row["signal"] for row in json.loads(out)] == ["topic_entropy"]
    # A value may hold = and quotes; it is bound.
    code, out, err = ask(
        "--lake", full, "why_flagged", "--param", "account_id=x' or 'a'='a", "--format", "json"
    )
    assert (code, out) == (0, "[]\n")
    assert "\"x' or 'a'='a\"" in err


def test_an_empty_answer_about_nobody_says_so(full: Path, ask: Run) -> None:
    known, stranger = "account [b]5[/b]", "Account [b]5[/b]"
    for name in ("account_timeline", "why_flagged", "case_records"):
        asked = "subject" if name == "case_records" else "account_id"
        code, out, err = ask("--lake", full, name, "--param", f"{asked}={stranger}", "--format", "csv")
        assert (code, len(out.splitlines())) == (0, 1)
        assert err.startswith("the lake has no account")
        assert repr(stranger) in err
        assert "case_queue" in err
    # Nothing found of somebody who is there is an answer.
    _, out, err = ask("--lake", full, "verdict_history", "--param", f"subject_id={known}", "--format", "csv")
    assert (len(out.splitlines()), err) == (1, "")
    _, _, err = ask("--lake", full, "members_of_a_cluster", "--param", "cluster_id=cluster-0")
    assert err.startswith("the lake has no cluster 'cluster-0'")
    code, _, err = ask("--lake", full, "alert_evidence", "--param", "alert_id=alert-0")
    assert code == 0
    assert err.startswith("the lake has no alert 'alert-0'")
    assert "distillwatch alerts" in err
    for name, value, known in (
        ("benign_class", "chat, by hand", "case_queue_facets"),
        ("decision", "Alert", "alert, allowed, clear and cannot_tell"),
        ("subject_kind", "accounts", "account and cluster"),
        ("verdict", "guilty", "attack, benign, allowed, undecided and none"),
        ("detector", "oracle", "case_queue_facets"),
    ):
        code, _, err = ask("--lake", full, "case_queue", "--param", f"{name}={value}", "--format", "csv")
        assert code == 0
        assert err.startswith("the lake has no ")
        assert repr(value) in err
        assert known in err
    # These are there, and of one of them nothing is found.
    queue = ("case_queue", "--param", "decision=allowed", "--format", "csv")
    assert ask("--lake", full, *queue)[1:][1] == ""
    # This one is there, and rests on no signals.
    assert ask("--lake", full, "alert_evidence", "--param", "alert_id=a1", "--format", "csv")[2] == ""


def test_a_count_below_zero_is_refused_by_name(full: Path, ask: Run) -> None:
    code, out, err = ask("--lake", full, "case_queue", "--param", "limit_rows=-1")
    assert (code, out) == (2, "")
    assert "parameter limit_rows is '-1'; it has to be a whole number of at least 0 (rows to show)" in err


def test_a_query_of_ones_own_takes_parameters_as_text(full: Path, ask: Run) -> None:
    query = "select count(*) as n from account_scores where records > $least::bigint"
    assert ask("--lake", full, "-c", query, "--param", "least=53", "--format", "csv") == (0, "n\n3\n", "")
    code, _, err = ask("--lake", full, "-c", query)
    assert code == 2
    assert "--param least=VALUE" in err
    code, _, err = ask("--lake", full, "-c", query, "--param", "least=1", "--param", "most=2")
    assert code == 2
    assert "no parameter 'most'" in err


def test_a_file_may_declare_its_parameters(full: Path, ask: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.sql"
    file.write_text(
        "-- question: How many?\n-- parameters:\n--   least integer = 55: records at least\n"
        "select count(*) as n from account_scores where records >= $least"
    )
    assert ask("--lake", full, "-f", file, "--format", "csv") == (0, "n\n2\n", "")
    assert ask("--lake", full, "-f", file, "--param", "least=50", "--format", "csv") == (0, "n\n7\n", "")
    code, _, err = ask("--lake", full, "-f", file, "--param", "least=many")
    assert code == 2
    assert "'many'; it has to be a whole number" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-c", "selec 1"], 1, "syntax error"),
        (["-c", "select * from nothing_here"], 2, "nothing_here"),
        (["-c", "select 1 / 'x'::int"], 1, "x"),
        (["-c", "drop view windows"], 2, "only reads"),
        (["-c", "select 1; select 2"], 2, "one SELECT at a time"),
        (["-c", ""], 2, "empty"),
        ([], 2, "exactly one question"),
        (["why_flagged", "-c", "select 1"], 2, "exactly one question"),
        (["whyflagged"], 2, "did you mean why_flagged"),
        (["zzzz"], 2, "there are account_"),
        (["why_flagged"], 2, "needs account_id"),
        (["why_flagged", "--param", "account=x"], 2, "did you mean account_id"),
        (["why_flagged", "--param", "account_id"], 2, "not NAME=VALUE"),
        (
            ["account_timeline", "--param", "account_id=x", "--param", "since=soon"],
            2,
            "'soon'; it has to be a time",
        ),
        (["-f", "/nowhere/at/all.sql"], 2, "/nowhere/at/all.sql"),
    ],
)
def test_what_cannot_be_is_one_message_and_a_code(
    empty: Path, ask: Run, words: list[str], code: int, message: str
) -> None:
    found, out, err = ask("--lake", empty, *words)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_no_lake_is_said_with_the_way_out(ask: Run, tmp_path: Path) -> None:
    code, _, err = ask("--lake", tmp_path / "none", "-c", "select 1")
    assert code == 2
    assert "distillwatch ingest" in err
    code, _, err = ask("-c", "select 1")
    assert code == 2
    assert "--lake DIR" in err


def test_the_playbooks_are_listed_and_shown(ask: Run) -> None:
    code, out, _ = ask("--list")
    assert code == 0
    assert all(file.name in out and file.header["question"] in out for file in load_tree()["playbooks"])
    code, out, _ = ask("--list", "--format", "json")
    assert {row["playbook"] for row in json.loads(out)} == {file.name for file in load_tree()["playbooks"]}
    code, out, _ = ask("why_flagged", "--show")
    assert code == 0
    assert "-- false positives:" in out
    assert "from account_scores" in out


def test_columns_that_a_terminal_cannot_hold_are_left_out_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("a" * 10, 1.0, "b" * 100)]
    hidden = sql_rows.print_answer(
        ["first", "second", "third"], ["VARCHAR", "DOUBLE", "VARCHAR"], rows, Format.TABLE, width=40
    )
    assert hidden == ["third"]
    assert "third" not in capsys.readouterr().out
    hidden = sql_rows.print_answer(["first"], ["VARCHAR"], [("a" * 100,)], Format.TABLE, width=40)
    assert hidden == [], "one column is always shown"


def test_sparse_counts_are_short_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    value = [{"bucket": 0, "count": 7}, {"bucket": 31, "count": 2}]
    sql_rows.print_answer(
        ["h"],
        ["STRUCT(bucket INTEGER, count BIGINT)[]"],
        [(value,), ([],), (None,)],
        Format.TABLE,
        width=None,
    )
    assert "0:7 31:2" in capsys.readouterr().out
