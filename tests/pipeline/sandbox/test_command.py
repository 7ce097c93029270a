"""`distillwatch sql` and `distillwatch audit` with the options of a session."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import run
from pipeline.cli.output import Format
from pipeline.cli.sql_options import Size, login_name
from pipeline.cli.sql_rows import print_answer
from pipeline.sandbox import landlock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("needs_landlock")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(*words: object) -> tuple[int, str, str]:
        code = run(list(map(str, words)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return asked


@pytest.fixture
def lake(lake_of: Callable[[], Any]) -> Path:
    return lake_of().root


SCORES = "select account_id, score, sum(records) over () as n from account_scores order by account_id"


def test_files_for_programs(lake: Path, ask: Any, tmp_path: Path) -> None:
    whole = ask("sql", "--lake", lake, "-c", SCORES, "--format", "json")
    rows = json.loads(whole[1])
    for name, read in [("parquet", pq.read_table), ("arrow", lambda path: pa.ipc.open_stream(path.read_bytes()).read_all())]:  # fmt: skip
        out = tmp_path / f"answer.{name}"
        assert ask("sql", "--lake", lake, "-c", SCORES, "--format", name, "--out", out) == (0, "", "")
        table = read(out)
        assert table.to_pylist() == rows
        assert table.schema.field("n").type == pa.int64()
        assert b"distillwatch.types" not in (table.schema.metadata or {})
    out = tmp_path / "answer.csv"
    assert ask("sql", "--lake", lake, "-c", SCORES, "--format", "csv", "--out", out)[0] == 0
    assert out.read_text().splitlines()[:2] == ["account_id,score,n", "account-0,0.0,371"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "answer.arrow",
        "answer.csv",
        "answer.parquet",
        "lake",
    ]


def test_what_python_has_no_value_for_is_written_all_the_same(lake: Path, ask: Any, tmp_path: Path) -> None:
    query = (
        "select map {[1]: 2} as m, 'infinity'::timestamp as t, json('[' || repeat('9', 5000) || ']') as j, "
        "json(repeat('[', 2000) || repeat(']', 2000)) as d"
    )
    ((row,),) = [json.loads(ask("sql", "--lake", lake, "-c", query, "--format", "json")[1])]
    assert (row["m"], row["t"], row["j"]) == ([[[1], 2]], "infinity", f"[{'9' * 5000}]")
    assert row["d"] == "[" * 2000 + "]" * 2000
    code, _, err = ask(
        *("sql", "--lake", lake, "-c", "select union_value(k := 1) as u", "--format", "parquet"),
        *("--out", tmp_path / "x.parquet"),
    )
    assert (code, "x::varchar" in err, (tmp_path / "x.parquet").exists()) == (2, True, False)


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
def test_an_answer_plays_no_tricks_on_a_terminal(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    name, value = "n\x1b[8m", "a\x1b]0;b\x9b2J\u202ec"
    print_answer([name], ["VARCHAR"], [(value,)], Format(format_), width=80)
    # A table has the styles of its own heading.
    text = re.sub(r"\x1b\[[013]*m", "", screen.getvalue())
    assert not set(text) & {"\x1b", "\x9b", "\u202e"}
    assert "n�[8m" in text or "n\\u001b[8m" in text


def test_an_error_plays_no_tricks_on_a_terminal(lake: Path, ask: Any) -> None:
    code, _, err = ask("sql", "--lake", lake, "-c", "select error('a' || chr(27) || '[2J')")
    assert (code, "a�[2J" in err, "\x1b[2J" in err) == (1, True, False)


def test_files_are_not_put_into_the_lake_nor_anywhere_else(lake: Path, ask: Any, tmp_path: Path) -> None:
    code, _, err = ask(
        "sql", "--lake", lake, "-c", "select 1", "--out", lake / "tables" / "x.csv", "--format", "csv"
    )
    assert (code, "lies in the lake" in err) == (2, True)
    code, _, err = ask("sql", "--lake", lake, "-c", "select 1", "--out", tmp_path / "no" / "x.csv")
    assert (code, "cannot be written" in err) == (2, True)


def test_an_answer_that_was_cut_is_an_error_for_programs_and_a_note_for_people(lake: Path, ask: Any) -> None:
    code, out, err = ask("sql", "--lake", lake, "-c", SCORES, "--max-rows", 3, "--format", "csv")
    assert (code, len(out.splitlines())) == (1, 4)
    assert "only the first 3 rows" in err
    code, _, err = ask("sql", "--lake", lake, "-c", SCORES, "--max-rows", 3)
    assert (code, "only the first 3 rows" in err) == (0, True)


def test_limits_from_the_command_line(lake: Path, ask: Any) -> None:
    query = "select levenshtein(repeat('ab', 2000000), repeat('ba', 2000000))"
    code, _, err = ask("sql", "--lake", lake, "-c", query, "--time-limit", "0.3")
    assert (code, "ran for 0.3 s" in err) == (1, True)
    code, _, err = ask(
        "sql", "--lake", lake, "-c", "select list_sum(range(60000000))", "--memory-limit", "64MB"
    )
    assert (code, "64 are allowed" in err) == (1, True)
    assert ask("sql", "--lake", lake, "-c", "select 1", "--memory-limit", "much")[0] == 2
    code, _, err = ask("sql", "--lake", lake, "-c", "select 1", "--memory-limit", "1024")
    assert (code, "1024 bytes; 32MB are the least" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("2KB", 2048), ("1.5GiB", 3 << 29), ("64mb", 64 << 20), ("2 G", 2 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


def test_an_earlier_state(lake: Path, ask: Any) -> None:
    query = "select count(*) as n from verdicts"
    assert ask("sql", "--lake", lake, "-c", query, "--format", "csv")[1] == "n\n1\n"
    assert ask("sql", "--lake", lake, "-c", query, "--format", "csv", "--as-of", "1")[1] == "n\n0\n"
    code, _, err = ask("sql", "--lake", lake, "-c", query, "--as-of", "7")
    assert (code, "no manifest 7" in err) == (2, True)


def test_the_record_is_kept_shown_and_checked(lake: Path, ask: Any, tmp_path: Path) -> None:
    assert ask("audit", "list", "--lake", lake)[0] == 2
    assert ask("sql", "--lake", lake, "-c", "select 1 as x")[0] == 0
    assert (
        ask("sql", "--lake", lake, "why_flagged", "--param", "account_id=a", "--case", "c-7", "--who", "kim")[
            0
        ]
        == 0
    )
    assert ask("sql", "--lake", lake, "-c", "drop view windows")[0] == 2
    code, out, _ = ask("audit", "list", "--lake", lake, "--format", "json")
    rows = json.loads(out)
    assert code == 0
    # It answered nothing, so it was asked whether there is such an account.
    looked = rows.pop(2)
    assert (looked["who"], looked["case"], looked["rows"]) == ("kim", "c-7", 0)
    assert [(row["who"], row["case"], row["query"], row["outcome"], row["rows"]) for row in rows] == [
        (login_name(), None, "select 1 as x", "answered", 1),
        ("kim", "c-7", "why_flagged", "answered", 0),
        (login_name(), None, "drop view windows", "refused", None),
    ]
    assert rows[1]["parameters"]["account_id"] == "a"
    assert "only reads" in rows[2]["reason"]
    assert [
        row["line"]
        for row in json.loads(ask("audit", "list", "--lake", lake, "--case", "c-7", "--format", "json")[1])
    ] == [3, 5]
    assert [
        row["line"]
        for row in json.loads(ask("audit", "list", "--lake", lake, "-n", "1", "--format", "json")[1])
    ] == [7]

    code, out, _ = ask("audit", "verify", "--lake", lake)
    assert (code, "8 lines, whole" in out) == (0, True)
    head = out.split()[-1]
    assert ask("audit", "verify", "--lake", lake, "--head", head)[0] == 0

    file = lake / "audit" / "queries.jsonl"
    file.write_text(file.read_text().replace('"case":"c-7"', '"case":"c-8"'))
    code, out, err = ask("audit", "verify", "--lake", lake)
    assert (code, out) == (1, "")
    assert "line 3 was changed" in err

    file.unlink()
    code, out, err = ask("audit", "verify", "--lake", lake)
    assert (code, "ends at line 0 and had 8: line 1 was removed" in err) == (1, True)

    other = tmp_path / "elsewhere.jsonl"
    assert ask("sql", "--lake", lake, "-c", "select 1", "--audit", other)[0] == 0
    assert "2 lines, whole" in ask("audit", "verify", "--file", other)[1]
    assert ask("audit", "verify")[0] == 2


def test_where_landlock_is_missing_it_says_so(lake: Path, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    code, out, err = ask("sql", "--lake", lake, "-c", "select 1 as x")
    assert (code, out) == (1, "")
    assert "--weaker-guard" in err
    code, out, err = ask("sql", "--lake", lake, "-c", "select 1 as x", "--weaker-guard", "--format", "csv")
    assert (code, out) == (0, "x\n1\n")
    assert "weaker guard" in err
