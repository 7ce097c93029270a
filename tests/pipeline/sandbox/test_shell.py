"""The interactive shell: what it completes, what its commands do, and a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from pipeline.shell.shell import COMMANDS, Shell, history_file, prompt_session, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.sandbox import Sandbox


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def shell(sandbox: Sandbox, said: list[str]) -> Shell:
    made = Shell(sandbox, say=lambda text: said.append(re.sub(r"\x1b\[[0-9;]*m", "", text)))
    made.handle(".pager off")
    return made


@pytest.fixture
def completions(shell: Shell) -> Callable[..., list[str]]:
    def complete(before: str, after: str = "") -> list[str]:
        document = Document(before + after, len(before))
        return [each.text for each in shell.completer.get_completions(document, CompleteEvent())]

    return complete


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        ("select * from acc", "", "account_scores"),
        ("select * from account_scores a join ver", "", "verdicts"),
        ("describe verd", "", "verdicts"),
        ("select * from raw.seg", "", "raw.segments"),
        ("select acc", " from account_scores", "account_id"),
        ("select a.sc", " from account_scores a", "score"),
        ("select * from account_scores where deci", "", "decision"),
        ("select safe", "", "safe_div("),
        ("sel", "", "select"),
        (".he", "", ".help"),
        (".run why_f", "", "why_flagged"),
        (".run why_flagged acc", "", "account_id="),
        (".schema verd", "", "verdicts"),
        (".format j", "", "json"),
    ],
)
def test_what_comes_next(completions: Callable[..., list[str]], before: str, after: str, first: str) -> None:
    assert completions(before, after)[0] == first


def test_a_parameter_that_is_given_is_not_offered_again(completions: Callable[..., list[str]]) -> None:
    assert "account_id=" not in completions(".run why_flagged account_id=x ")
    assert completions("select * from nothing_like_it") == []


def test_columns_of_other_tables_are_no_noise(completions: Callable[..., list[str]]) -> None:
    assert "positions_digest" not in completions("select posi", " from account_scores")


def test_queries_and_commands(shell: Shell, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.handle("select account_id from account_scores order by 1 limit 2;")
    assert "account-1" in capsys.readouterr().out
    assert said[-1].startswith("2 rows, ")
    assert "record " in said[-1]
    assert shell.handle("select 1; select 2;")
    assert "2 statements" in said[-1]
    assert shell.handle("selec;")
    assert "syntax error" in said[-1]
    assert shell.handle("   ")
    assert shell.handle(".format csv")
    assert shell.handle("select 1 as x;")
    assert capsys.readouterr().out == "x\n1\n"
    assert shell.handle(".rows 2")
    assert shell.handle("from range(5);")
    assert "the first 2 only" in said[-1]
    assert not shell.handle(".quit")
    assert not shell.handle(".exit")


def test_the_case_is_recorded(
    shell: Shell, sandbox: Sandbox, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shell.handle(".case 2026-17")
    shell.handle("select 1;")
    shell.handle(".run why_flagged account_id=nobody")
    shell.handle(".case -")
    shell.handle("select 1;")
    asked = [e.document for e in sandbox.audit if e.document["event"] == "asked"][-4:]
    assert [each["case"] for each in asked] == ["2026-17", "2026-17", "2026-17", None]
    assert asked[1]["playbook"] == "why_flagged"
    # Whether there is such an account is a question, too.
    assert asked[2]["parameters"] == {"id": "nobody"}
    assert any(line.startswith("the lake has no account 'nobody'") for line in said)
    assert "case: none" in said
    assert "(no rows)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "there"),
    [
        (".help", "Ctrl-C ends a running query"),
        (".tables", "account_scores"),
        (".tables raw", "raw.segments"),
        (".schema account_scores", "p_value"),
        (".playbooks flagged", "why_flagged"),
        (".playbooks zzzz", "no playbook"),
        (".show why_flagged", "-- false positives:"),
    ],
)
def test_commands_that_tell(
    shell: Shell, capsys: pytest.CaptureFixture[str], command: str, there: str
) -> None:
    assert shell.handle(command)
    assert there in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (".nothing", "no command .nothing"), (".schema", "which table"), (".schema zzz", "no table zzz"), (".run", "which playbook"),
        (".run why_flagged x", "is not parameter=value"), (".run why_flagged", "needs account_id"), (".run zzz", "no playbook"),
        (".format xml", "no format xml: the format is one of"), (".rows none", "'none' is no number"), (".rows", "how many"), (".show zzz", "no playbook zzz"),
        (".run 'x", "cannot be read"), (".pager maybe", ".pager on or"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_and_ends_nothing(shell: Shell, said: list[str], command: str, why: str) -> None:
    assert shell.handle(command)
    assert why in said[-1]


def test_every_command_is_there() -> None:
    assert all(hasattr(Shell, f"_do_{name[1:]}") for name in COMMANDS if name != ".quit")


def test_enter_sends_what_is_whole() -> None:
    assert [whole(text) for text in ("", "select 1", "select 1;", "select 1;\n", ".help", "select '\n")] == [
        True, False, True, True, True, False,
    ]  # fmt: skip


def test_history_is_the_users_own(shell: Shell, tmp_path: Path) -> None:
    assert history_file({"XDG_STATE_HOME": "/x"}).as_posix() == "/x/distillwatch/sql_history"
    assert history_file({"XDG_STATE_HOME": "relative"}).parts[-3:] == ("state", "distillwatch", "sql_history")
    path = history_file({"XDG_STATE_HOME": str(tmp_path)})
    with create_pipe_input() as keys:
        keys.send_text("select 1,\n2;\n")
        assert prompt_session(shell, path, input=keys, output=DummyOutput()).prompt() == "select 1,\n2;"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "+2;" in path.read_text()


def test_without_a_place_for_history_it_says_so_and_goes_on(
    shell: Shell, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    path = history_file({"XDG_STATE_HOME": str(tmp_path / "file")})
    with create_pipe_input() as keys:
        keys.send_text("select 1;\n")
        assert prompt_session(shell, path, input=keys, output=DummyOutput()).prompt() == "select 1;"
    assert str(path) in said[-1]
    assert "XDG_STATE_HOME" in said[-1]


PROMPT = ">\x08>"
"""How a prompt begins on a terminal: it is drawn, taken back and drawn in colour."""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.pid, self.place = pty.fork()
        if self.pid == 0:
            # Whoever started the tests in the background had Ctrl-C ignored; a terminal does not.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ.update(environment)
            os.execv(words[0], words)
        self.text = ""

    def read(self) -> bool:
        """Take what there is within a moment and answer where the cursor is; False when the other end is closed."""
        if not select.select([self.place], [], [], 0.05)[0]:
            return True
        try:
            data = os.read(self.place, 1 << 16)
            if b"\x1b[6n" in data:
                os.write(self.place, b"\x1b[1;1R")
        except OSError:
            return False
        self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return True

    def expect(self, pattern: str, within: float = 40) -> None:
        end = time.monotonic() + within
        while time.monotonic() < end:
            if re.search(pattern, self.text):
                self.text = ""
                return
            if not self.read():
                break
        pytest.fail(f"{pattern!r} did not come; {self.text[-800:]!r}")

    def ended(self, within: float = 20) -> bool:
        """Whether the command ends in that time."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG) != (0, 0):
                return True
            self.read()
        return False

    def send(self, text: str) -> None:
        os.write(self.place, text.encode())


@pytest.fixture
def terminal(lake_of: Callable[[], Any], tmp_path: Path, needs_landlock: None) -> Iterator[Terminal]:
    words = [sys.executable, "-m", "pipeline.cli", "sql", "--lake", str(lake_of().root)]
    opened = Terminal(words, {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path), "PAGER": "cat"})
    yield opened
    with suppress(ProcessLookupError):
        os.kill(opened.pid, signal.SIGKILL)
    os.close(opened.place)
    with suppress(ChildProcessError):
        os.waitpid(opened.pid, 0)


def test_on_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    log = tmp_path / "lake" / "audit" / "queries.jsonl"
    terminal.expect(r"manifest 2\. \.help[\s\S]*" + PROMPT)
    terminal.send("select count(*) as n\rfrom account_scores;\r")
    terminal.expect(r"1 row, [\s\S]*" + PROMPT)
    terminal.send("select levenshtein(repeat('ab', 2000000), repeat('ba', 2000000));\r")
    # The record is written before the query runs; until then the terminal is still the prompt's.
    end = time.monotonic() + 40
    while "levenshtein" not in log.read_text() and time.monotonic() < end:
        terminal.read()
    terminal.send("\x03")
    terminal.expect(r"cancelled[\s\S]*" + PROMPT)
    terminal.send("select 40 + 2 as x;\r")
    # Before the prompt is there again Ctrl-D is for the terminal and not for the shell.
    terminal.expect(r"42[\s\S]*1 row, [\s\S]*" + PROMPT)
    terminal.send("\x04")
    assert terminal.ended()
