"""The command: users from the command line, and what a start says."""

import socket
import stat

import pytest

from pipeline.cli.main import run
from pipeline.console import ConsoleSettings
from pipeline.console import start as starting
from pipeline.errors import DistillwatchError


def test_users_are_added_listed_and_kept_out(lake, capsys):
    where = ["--lake", str(lake)]
    assert run(["console", "user", "add", "ana", "--role", "approver", *where]) == 0
    said = capsys.readouterr()
    token = said.out.strip()
    assert token.startswith("dw_")
    assert "once" in said.err
    assert run(["console", *where, "user", "add", "ben", "--role", "viewer", "--no-token"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["console", "user", "role", "ben", "investigator", *where]) == 0
    assert run(["console", "user", "disable", "ana", *where]) == 0
    capsys.readouterr()
    assert run(["console", "user", "list", *where, "--format", "csv"]) == 0
    listed = capsys.readouterr().out
    assert "ben,investigator,0" in listed
    assert token not in listed
    state = lake / "console" / "state.sqlite"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert run(["console", "user", "add", "ana", "--role", "viewer", *where]) == 2
    assert "already" in capsys.readouterr().err


def test_it_says_what_is_missing(capsys, tmp_path):
    assert run(["console"]) == 2
    assert "--lake" in capsys.readouterr().err
    assert run(["console", "user", "list"]) == 2
    assert run(["console", "user", "list", "--lake", str(tmp_path)]) == 2
    assert "no lake" in capsys.readouterr().err
    assert run(["console", "--lake", str(tmp_path)]) == 2


@pytest.fixture
def served(monkeypatch):
    """A server that ends at once."""
    monkeypatch.setattr("uvicorn.Server.run", lambda *_arguments, **_more: None)


def test_the_first_start_gives_a_token_once(lake, served):
    said = []
    settings = ConsoleSettings(lake=lake, port=0)
    starting.serve(settings, "root", say=said.append)
    assert sum("dw_" in each for each in said) == 1
    assert "approver" in said[0]
    said.clear()
    starting.serve(settings, "root", say=said.append)
    assert not any("dw_" in each for each in said)
    assert any("http://127.0.0.1:" in each for each in said)
    assert not any("warning" in each for each in said)


def test_listening_to_others_is_warned_about(lake, served):
    said = []
    starting.serve(ConsoleSettings(lake=lake, port=0, host="0.0.0.0"), "root", say=said.append)
    assert any(each.startswith("warning") and "unencrypted" in each for each in said)


def test_a_taken_port_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(DistillwatchError, match="cannot listen"):
            starting.listening("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_what_is_this_machine_only(tmp_path, host, local):
    assert ConsoleSettings(lake=tmp_path, host=host).is_local is local
