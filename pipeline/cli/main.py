"""The command `distillwatch`: finds the commands, reports errors, imports nothing heavy at its start."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

import pipeline
from pipeline.errors import DistillwatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "distillwatch.commands"

# Name: (module under pipeline.cli that holds a click command `command`, what `--help` says about it).
# The words stand here so that listing the commands loads none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "A broker, traffic with known attackers, a worker, and what was found."),
    "simulate": ("simulate", "Labelled traffic to Kafka or to a file."),
    "ingest": ("ingest", "Logs from JSONL or Parquet files into a lake."),
    "score": ("score", "Signals, scores, clusters and alerts for what is landed."),
    "alerts": ("alerts", "The alerts in whole: why, against which benign explanation, what to read."),
    "replay": ("replay", "The nightly job: recompute, compare, compact, score again, publish."),
    "verify": ("verify", "Prove that nothing was lost, doubled or changed; derive an alert again."),
    "digest": ("digest", "One digest of all profiles, however they were landed."),
    "verdict": ("verdict", "Allow-lists and investigators' verdicts: add, list, withdraw, import."),
    "refit": ("refit", "Fit the detector anew from verdicts; says what that changes."),
    "evaluate": ("evaluate", "The detection benchmark: all detectors on worlds nobody was fitted on."),
    "sql": ("sql", "Ask a lake questions in SQL, or run a playbook."),
    "audit": ("audit", "The record of every query: show it, check that nobody changed it."),
    "case": ("case", "A self-contained case file about an account or a cluster."),
    "console": ("console", "The lake in a browser: queue, accounts, clusters, cases, verdicts."),
    "indicators": ("indicators", "STIX 2.1: share what was found, hashed; import what others found."),
    "topics": ("topics", "Create and compare Kafka's topics."),
    "declare-lost": ("declare_lost", "Go on after Kafka deleted what was not landed; recorded for ever."),
}

# What commands from entry points say about themselves, for the same reason.
ELSEWHERE = {"worker": "The streaming deployment: from Kafka to a lake."}


class Commands(click.Group):
    """A group that imports a command only when it is run or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names: ours in the order of a user's way through them, then those of other packages."""
        del ctx
        return [*COMMANDS, *sorted(set(_elsewhere()) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, imported now."""
        del ctx
        if cmd_name in COMMANDS:
            module = importlib.import_module(f"pipeline.cli.{COMMANDS[cmd_name][0]}")
            command: Any = module.command
        elif (entry := _elsewhere().get(cmd_name)) is not None:
            try:
                command = entry.load()
            except ModuleNotFoundError as error:
                msg = f"`distillwatch {cmd_name}` needs the package {error.name}, which is not installed: pip install 'distillwatch[streams]'"
                raise UsageError(msg) from error
        else:
            return None
        if not isinstance(command, click.Command):
            msg = f"the command {cmd_name} is a {type(command).__name__}, not a click command"
            raise TypeError(msg)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the words above, without loading them."""
        words = {name: text for name, (_, text) in COMMANDS.items()} | ELSEWHERE
        rows = [(name, words.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pipeline.__version__, prog_name="distillwatch")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Find distillation attacks in the API logs of a large-language-model service."""
    del debug  # `run` looks for it among the words, because a command may fail before this is called


def _elsewhere() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; give its exit code: 0 done, 1 failed, 2 asked for something that cannot be.

    An error of ours is one message on standard error. Anything else is a fault of the program and
    keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = group.main(args=words, prog_name="distillwatch", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except DistillwatchError as error:
        if "--debug" in words:
            raise
        click.echo(f"error: {error}", err=True)
        return 2 if isinstance(error, UsageError) else 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the installed program.

    A reader that leaves early (head, less) is no error worth words: click ends with 1 and says nothing
    when it meets that, and so do we for what was still to be flushed.
    """
    code = run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = 1
        # Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
