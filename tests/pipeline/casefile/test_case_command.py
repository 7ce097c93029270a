"""`distillwatch case`: the file, the command in it that derives the alert again, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
