import os
import resource
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

import pipeline
from pipeline.cli import main as main_module
from pipeline.cli.main import COMMANDS, ELSEWHERE, ENTRY_POINTS, run
from pipeline.errors import DistillwatchError, UsageError

PROGRAM = Path(sys.executable).with_name("distillwatch")


@pytest.fixture
def planted(monkeypatch):
    """Make `distillwatch planted` do what is asked."""

    def plant(function):
        command = click.Command("planted", callback=function)
        monkeypatch.setattr(main_module.Commands, "get_command", lambda *_: command)

    return plant


@pytest.mark.parametrize("name", [*COMMANDS, *ELSEWHERE])
def test_every_command_has_help(name, capsys):
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: distillwatch {name}")
    assert len(said.splitlines()) > 4


def test_help_lists_the_commands_of_the_contract(capsys):
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    for name in [
        "demo",
        "simulate",
        "worker",
        "ingest",
        "score",
        "replay",
        "verify",
        "digest",
        "sql",
        "topics",
    ]:
        assert f"\n  {name} " in said


def test_the_worker_announces_itself():
    assert "worker" in {entry.name for entry in entry_points(group=ENTRY_POINTS)}


def test_version(capsys):
    assert run(["--version"]) == 0
    assert pipeline.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "No such command"),
        (["--nosuch"], "No such option"),
        (["topics", "apply", "extra"], "extra"),
    ],
)
def test_wrong_words_end_with_2(words, said, capsys):
    assert run(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(DistillwatchError("it broke here"), 1), (UsageError("it broke here"), 2)]
)
def test_our_errors_are_one_message_and_a_code(planted, capsys, error, code):
    def fail():
        raise error

    planted(fail)
    assert run(["planted"]) == code
    captured = capsys.readouterr()
    assert captured.err == "error: it broke here\n"
    assert captured.out == ""


def test_debug_shows_where_it_came_from(planted):
    def fail():
        msg = "it broke here"
        raise DistillwatchError(msg)

    planted(fail)
    with pytest.raises(DistillwatchError):
        run(["--debug", "planted"])


def test_a_fault_of_the_program_keeps_its_traceback(planted):
    planted(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(["planted"])


def test_a_command_may_end_with_a_code_of_its_own(planted):
    planted(lambda: click.get_current_context().exit(1))
    assert run(["planted"]) == 1


def test_a_command_whose_package_is_missing_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "streams.cli", None)
    monkeypatch.delitem(COMMANDS, "worker", raising=False)
    code = run(["worker", "--help"])
    assert code == 2
    assert "distillwatch[streams]" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run([PROGRAM, "--help"], stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.stderr == b""
    assert done.returncode in (0, 1)


def test_help_is_quick():
    def processor_seconds(*command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Against what it cannot do without, one after the other: seconds alone depend on the machine and its neighbours.
    least = "import click, importlib.metadata"
    pairs = [
        (processor_seconds(PROGRAM, "--help"), processor_seconds(sys.executable, "-c", least))
        for _ in range(5)
    ]
    assert min(ours for ours, _ in pairs) < 2 * min(bare for _, bare in pairs)
