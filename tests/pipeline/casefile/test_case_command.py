"""`distillwatch case`: the file, the command in it that derives the alert again, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from datetime import datetime
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.case import _plain as file_name
from pipeline.cli.main import run
from pipeline.investigate.case import PLAYBOOKS
from pipeline.sandbox import AuditLog

if TYPE_CHECKING:
    from pipeline.investigate import Case


def shell(command: str, lake: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what a case file says, as a reader would: in a shell, with the lake's folder in LAKE."""
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "LAKE": str(lake), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def command_in(page: str, name: str) -> str:
    found = re.search(rf'<pre class="command" id="{name}">(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    return unescape(found[1])


def document_in(page: str) -> dict[str, Any]:
    found = re.search(r'id="case-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


def test_the_commands_in_a_case_file_derive_the_alert_and_make_the_file_again(
    lake: Path, page: str, hydra: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hydra.html"
    assert (
        run(["case", "--lake", str(lake), hydra.subject.subject_id, "--who", "tester", "--out", str(file)])
        == 0
    )
    assert f"cluster {hydra.subject.subject_id}, manifest 1" in capsys.readouterr().out
    text = file.read_text()
    assert text == page
    derived = shell(command_in(text, "derive"), lake, tmp_path)
    assert derived.returncode == 0, derived.stderr
    assert "derived again from its records: no difference" in " ".join(derived.stdout.split())
    again = shell(command_in(text, "again"), lake, tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.html").read_text() == text
    assert run(["case", "--check", str(tmp_path / "again.html")]) == 0
    assert "drawn again from it the page is the same" in capsys.readouterr().out


def test_an_altered_file_fails_the_check(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.html"
    file.write_text(page.replace('"p_value":', '"p_value": ', 1))
    assert run(["case", "--check", str(file)]) == 1
    assert "it was altered" in capsys.readouterr().out


def redigested(page: str) -> str:
    """The page with the digest of its data as it is now, where the page states it."""
    data = re.search(r'id="case-data">(.*?)</script>', page, re.DOTALL)
    stated = re.search(r'case-data-sha256" content="([0-9a-f]{64})"', page)
    assert data is not None
    assert stated is not None
    return page.replace(stated[1], hashlib.sha256(data[1].encode()).hexdigest())


def of_other_code(page: str) -> str:
    """The page as a version that differs by one byte would have drawn it: the code's name is all that differs."""
    code = document_in(page)["provenance"]["code"]
    return redigested(page.replace(code, f"{code[:-1]}{'1' if code[-1] == '0' else '0'}"))


def test_a_page_that_another_version_drew_alike_is_checked(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.html"
    file.write_text(of_other_code(page))
    assert run(["case", "--check", str(file)]) == 0
    assert "drawn again from it the page is the same" in capsys.readouterr().out


@pytest.mark.parametrize("forge", ["words", "styles"])
def test_a_forged_page_of_another_version_does_not_pass(
    forge: str, page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.html"
    old, new = {
        "words": ("This is evidence, not proof.", "This is proof of p = 0.0000001."),
        "styles": ("</style>", "p { display: none }</style>"),
    }[forge]
    # The last: the same words stand in the data.
    before, _, after = of_other_code(page).partition("</main>")
    forged = before.replace(old, new, 1) + "</main>" + after
    assert forged != of_other_code(page)
    file.write_text(forged)
    assert run(["case", "--check", str(file)]) == 3
    said = capsys.readouterr().out
    assert "its data has the SHA-256 that it states" in said
    assert "NOT checked: what the page shows" in said
    assert document_in(forged)["provenance"]["code"] in said
    if forge == "words":
        assert "other words or figures stand in 1 places" in said
        assert new in said
        assert old in said
    else:
        assert "the words and figures are the same" in said
    # Of the same version it is a difference, whatever was forged.
    file.write_text(page.replace(old, new, 1))
    assert run(["case", "--check", str(file)]) == 1


def test_a_document_that_this_version_cannot_draw_is_not_taken_for_checked(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.html"
    ours = page.replace('"limits":[', '"bounds":[')
    file.write_text(of_other_code(redigested(ours)))
    assert run(["case", "--check", str(file)]) == 3
    assert "this version cannot draw its document" in capsys.readouterr().out
    file.write_text(redigested(ours))
    assert run(["case", "--check", str(file)]) == 1
    assert "the document cannot be drawn" in capsys.readouterr().out


def test_help_says_what_a_check_ends_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["case", "--help"]) == 0
    said = capsys.readouterr().out
    assert "3  the data has that SHA-256, but what the page shows was NOT checked" in said
    assert "only the lake tells" in said


def test_a_file_that_is_there_is_left_as_it_is(
    planted,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["case", "--lake", str(planted.lake), planted.benign, "--who", "t", "--audit", "audit.jsonl"]
    note = tmp_path / "note.txt"
    note.write_text("mine")
    (tmp_path / f"case-{planted.benign}.html").symlink_to("nowhere")
    for given in ([], ["--out", "note.txt"]):
        assert run([*words, *given]) == 2
        said = capsys.readouterr().err
        assert "is there already" in said
        assert "--overwrite" in said
    assert note.read_text() == "mine"
    assert not (tmp_path / "audit.jsonl").exists()
    assert run([*words, "--out", "note.txt", "--overwrite"]) == 0
    assert "case-data" in note.read_text()


def test_what_came_while_the_lake_was_read_is_left_as_well(
    planted,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new.html"

    def slow(_document: object) -> str:
        out.write_text("somebody's")
        return "a page"

    monkeypatch.setattr("pipeline.casefile.render", slow)
    words = [
        "case",
        "--lake",
        str(planted.lake),
        planted.benign,
        "--who",
        "t",
        "--audit",
        str(tmp_path / "a"),
    ]
    assert run([*words, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert out.read_text() == "somebody's"


def test_no_two_subjects_share_a_file() -> None:
    subjects = ["a/b", "a_b", "a:b", ".a_b", "a_b.", "x" * 80, "x" * 81, "/", "..", "acct 17", "acct-17"]
    names = [file_name(each) for each in subjects]
    assert len(set(names)) == len(names)
    assert not any("/" in each or each.startswith(".") for each in names)
    assert (file_name("acct-17"), file_name("cluster-1f.html")) == ("acct-17", "cluster-1f.html")


def test_a_benign_account_is_accused_of_nothing_and_every_question_is_recorded(
    planted, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    record, out = tmp_path / "audit.jsonl", tmp_path / "benign.html"
    words = ["case", "--lake", str(planted.lake), planted.benign, "--who", "m.weber", "--case", "C-7"]
    assert run([*words, "--audit", str(record), "--out", str(out)]) == 0
    text = out.read_text()
    assert "No alert names it." in text
    assert "decided «clear»" in text
    assert "case C-7" in text
    assert "--alert" not in command_in(text, "derive")
    asked = [line for line in map(json.loads, record.read_text().splitlines()) if "sql" in line]
    assert len(asked) == len(PLAYBOOKS)
    assert {(line["who"], line["case"]) for line in asked} == {("m.weber", "C-7")}
    AuditLog(record).verify()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody-of-that-name"], "knows no account or cluster 'nobody-of-that-name'"),
        ([], "name an account or a cluster"),
        (["x", "--as-of", "99"], "no manifest 99"),
        (["x", "--who", " "], "who asks"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], said: str, planted, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    who = [] if "--who" in words else ["--who", "t"]
    assert run(["case", "--lake", str(planted.lake), *who, *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_a_lake_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["case", "--lake", str(tmp_path), "x", "--who", "t"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def plainly(value: Any) -> Any:
    """As the page says that rows are written before they are hashed."""
    if isinstance(value, dict):
        return {key: plainly(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plainly(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if type(value) is int and abs(value) >= 1 << 53 else value


def test_the_commands_of_the_annex_give_the_rows_that_figures_were_made_of(
    lake: Path, page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = document_in(page)
    answers = {}
    for name, one in document["asked"].items():
        command = document["commands"]["asked"][name]
        assert escape(command).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page
        words = shlex.split(command.replace("$LAKE", str(lake)))
        out = tmp_path / f"{name}.parquet"
        assert run([*words[1:], "--who", "reader", "--format", "parquet", "--out", str(out)]) == 0
        capsys.readouterr()
        state = hashlib.sha256()
        answers[name] = pq.read_table(out).to_pylist()
        for row in answers[name]:
            text = json.dumps(plainly(row), sort_keys=True, separators=(",", ":"))
            for character in "<>&":
                text = text.replace(character, f"\\u{ord(character):04x}")
            state.update(f"{text}\n".encode())
        assert (name, len(answers[name]), state.hexdigest()) == (name, one["rows"], one["rows_sha256"])
    # What figures draw is those rows, counted anew.
    figures = {each["name"]: each for each in document["figures"]}
    days = Counter[str]()
    for row in answers["case_timeline"]:
        days[row["window_start"].date().isoformat()] += row["records"]
    assert {row[0]: row[1] for row in figures["timeline"]["rows"]} == days
    assert len(answers["case_edges"]) == figures["graph"]["rows_in_all"]
    tied = sum(bool(row["shared_networks"]) for row in answers["case_edges"])
    assert f"{tied:,} on a shared network" in figures["graph"]["caption"]
    mine = {row["topic"] for row in answers["case_topics"] if row["role"] == "subject"}
    assert f"meet {len(mine)} topics of 256" in figures["coverage"]["caption"]


def test_provenance_is_checked_with_pyarrow_alone_as_the_documentation_has_it(
    lake: Path, page: str, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "case-files.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "hashlib" in each)
    assert "pipeline" not in code
    file, script = tmp_path / "case.html", tmp_path / "provenance.py"
    file.write_text(page)
    script.write_text(code)

    def checked() -> list[str]:
        done = subprocess.run([sys.executable, "-I", str(script), str(file), str(lake)], capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    segments = document_in(page)["provenance"]["segments"]
    first, *said = checked()
    assert first.removeprefix("document ") in page.partition("<body>")[0]
    assert said == [f"{each['file']} as stated" for each in segments]
    # One token more in one record, everything else as it was.
    path = lake / segments[0]["file"]
    rows = pq.read_table(path)
    tokens = rows["input_tokens"].to_pylist()
    tokens[7] += 1
    at = rows.schema.get_field_index("input_tokens")
    path.chmod(0o644)
    pq.write_table(rows.set_column(at, rows.schema.field(at), pa.array(tokens, pa.int64())), path)
    assert "stated is" in checked()[1]
