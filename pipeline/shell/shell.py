"""The shell's loop: read until ``;``, ask, show; an error ends a query and never the shell."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.output import Format
from pipeline.errors import DistillwatchError, UsageError
from pipeline.shell import paging
from pipeline.shell.completion import ShellCompleter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prompt_toolkit import PromptSession

    from pipeline.sandbox import Answer, Sandbox

_ROWS = 10_000

COMMANDS = {
    ".help": "This list.",
    ".tables": "Tables and what they are for; .tables raw shows the raw ones too.",
    ".schema": ".schema NAME: the columns of a table.",
    ".playbooks": "Playbooks and their questions; .playbooks WORD: those with this word.",
    ".show": ".show NAME: a playbook's file.",
    ".run": ".run NAME parameter=value ...: run a playbook.",
    ".format": ".format table|csv|json: how answers are shown.",
    ".case": ".case NAME: record the queries from here on under this case; .case - ends that.",
    ".rows": ".rows COUNT: how many rows an answer may have.",
    ".pager": ".pager on|off: whether long answers go through the pager.",
    ".refresh": "See the lake as it is now, instead of as it was when the shell began.",
    ".quit": "Leave; so does Ctrl-D.",
}

_HELP = """
A query ends with ; and may have many lines. Tab completes tables, columns, macros, playbooks and their parameters.
Ctrl-C ends a running query, or clears the line. Every query is recorded: who, case, SQL, parameters, outcome."""


class Shell:
    """One person's dialogue with a session.

    Parameters
    ----------
    session
        An open sandbox.
    format_
        How answers are shown at first.
    say
        Where messages go.
    """

    def __init__(
        self, session: Sandbox, format_: Format = Format.TABLE, *, say: Callable[[str], None] = click.echo
    ) -> None:
        from pipeline.warehouse import load_tree

        self._session = session
        self._format = format_
        self._say = say
        self._pager = True
        self._limits = replace(session.limits, rows=min(session.limits.rows or _ROWS, _ROWS))
        self._playbooks = {file.name: file for file in load_tree()["playbooks"]}
        self._catalogue = session.catalogue
        self.case = session.case

    @property
    def completer(self) -> ShellCompleter:
        """For what this session offers."""
        return ShellCompleter(self._catalogue, self._playbooks, COMMANDS)

    def tell(self, text: str) -> None:
        """A message to the user."""
        self._say(text)

    def handle(self, text: str) -> bool:
        """One input; False when the shell is to end."""
        text = text.strip()
        if not text:
            return True
        try:
            if text.startswith("."):
                return self._command(text)
            self._show(self._session.ask(text, case=self.case, limits=self._limits))
        except DistillwatchError as error:
            self._say(click.style(f"error: {error}", fg="red"))
        except KeyboardInterrupt:
            self._say("cancelled")
        return True

    def _show(self, answer: Answer) -> None:
        paging.show(answer, self._format, pager=self._pager)
        rows = answer.table.num_rows
        more = f", the first {rows} only (.rows COUNT allows more)" if answer.truncated else ""
        self._say(
            click.style(
                f"{rows} row{'s' * (rows != 1)}{more}, {answer.milliseconds:.0f} ms, record {answer.audit[:12]}",
                dim=True,
            )
        )

    def _command(self, text: str) -> bool:
        try:
            name, *words = shlex.split(text.rstrip(";"))
        except ValueError as error:
            msg = f"{text!r} cannot be read: {error}"
            raise UsageError(msg) from error
        if name in {".quit", ".exit", ".q"}:
            return False
        if name not in COMMANDS:
            msg = f"there is no command {name}; .help lists them"
            raise UsageError(msg)
        getattr(self, f"_do_{name[1:]}")(words)
        return True

    def _page(self, lines: list[str]) -> None:
        paging.show_text("\n".join(lines) + "\n", pager=self._pager)

    def _do_help(self, words: list[str]) -> None:
        del words
        self._page([*(f"{name:<11} {about}" for name, about in COMMANDS.items()), _HELP])

    def _do_tables(self, words: list[str]) -> None:
        self._page(
            [
                f"{click.style(f'{name:<24}', bold=True)} {relation.comment}"
                for name, relation in self._catalogue.relations.items()
                if words == ["raw"] or "." not in name
            ]
        )

    def _do_schema(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in self._catalogue.relations:
            given = f"there is no table {' '.join(words)}" if words else "which table?"
            msg = f"{given}: .schema NAME; .tables lists them"
            raise UsageError(msg)
        relation = self._catalogue.relations[words[0]]
        widest = max(len(column) for column, _ in relation.columns)
        self._page(
            [relation.comment, *(f"  {column:<{widest}}  {kind}" for column, kind in relation.columns)]
        )

    def _do_playbooks(self, words: list[str]) -> None:
        lines = []
        for name, file in self._playbooks.items():
            if not words or words[0].lower() in f"{name} {file.header['question']}".lower():
                parameters = " ".join(p.name if p.required else f"[{p.name}]" for p in file.parameters)
                lines += [f"{click.style(name, bold=True)}  {parameters}", f"    {file.header['question']}"]
        self._page(lines or ["no playbook has that word"])

    def _do_show(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in self._playbooks:
            given = f"there is no playbook {' '.join(words)}" if words else "which playbook?"
            msg = f"{given}: .show NAME; .playbooks lists them"
            raise UsageError(msg)
        self._page(self._playbooks[words[0]].text.rstrip().splitlines())

    def _do_run(self, words: list[str]) -> None:
        if not words:
            msg = "which playbook? .run NAME parameter=value ...; .playbooks lists them"
            raise UsageError(msg)
        given: dict[str, object] = {}
        for word in words[1:]:
            name, separator, value = word.partition("=")
            if not separator:
                msg = f"{word!r} is not parameter=value"
                raise UsageError(msg)
            given[name] = value
        answer = self._session.playbook(words[0], given, case=self.case, limits=self._limits)
        self._show(answer)
        for sentence in self._session.unknown_values(answer, given, case=self.case):
            self._say(sentence)

    def _do_format(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in set(Format):
            given = f"there is no format {' '.join(words)}: " if words else ""
            msg = f"{given}the format is one of {', '.join(Format)}; it is {self._format.value} now"
            raise UsageError(msg)
        self._format = Format(words[0])

    def _do_case(self, words: list[str]) -> None:
        if words:
            self.case = None if words == ["-"] else " ".join(words)
        self._say(f"case: {self.case or 'none'}")

    def _do_rows(self, words: list[str]) -> None:
        if len(words) != 1 or not words[0].isdecimal() or int(words[0]) < 1:
            given = f"{' '.join(words)!r} is no number of rows from 1" if words else "how many?"
            msg = f"{given}: .rows COUNT; it is {self._limits.rows} now"
            raise UsageError(msg)
        self._limits = replace(self._limits, rows=int(words[0]))

    def _do_pager(self, words: list[str]) -> None:
        if words not in (["on"], ["off"]):
            msg = f".pager on or .pager off; it is {'on' if self._pager else 'off'} now"
            raise UsageError(msg)
        self._pager = words == ["on"]

    def _do_refresh(self, words: list[str]) -> None:
        del words
        number = self._session.refresh()
        self._catalogue = self._session.catalogue
        self._say(f"manifest {number}")


def history_file(environment: Mapping[str, str]) -> Path:
    """Where this user's lines are kept: below ``XDG_STATE_HOME``, or ``~/.local/state``."""
    state = environment.get("XDG_STATE_HOME") or ""
    folder = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return folder / "distillwatch" / "sql_history"


def prompt_session(shell: Shell, history: Path, **arguments: Any) -> PromptSession[str]:
    """A prompt whose Enter ends a query with ``;``, a command, and nothing else."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import SqlLexer

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        buffer = event.current_buffer
        if whole(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return PromptSession(
        history=FileHistory(str(history)) if _can_keep(history, shell.tell) else InMemoryHistory(),
        auto_suggest=AutoSuggestFromHistory(),
        completer=shell.completer,
        complete_while_typing=False,
        lexer=PygmentsLexer(SqlLexer),
        multiline=True,
        key_bindings=keys,
        prompt_continuation=lambda width, _number, _soft: "." * (width - 1) + " ",
        **arguments,
    )


def _can_keep(history: Path, tell: Callable[[str], None]) -> bool:
    """Whether lines can be kept in that file, which is made; a shell without history is better than none."""
    try:
        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Lines hold account ids; they are nobody else's.
        os.close(os.open(history, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        tell(
            f"lines are not kept for another time: {history} cannot be written ({error.strerror}); "
            "XDG_STATE_HOME names another folder"
        )
        return False
    return True


def whole(text: str) -> bool:
    """Whether Enter sends this text: nothing, a command, or a query that ends with ``;``.

    Examples
    --------
    >>> whole("select 1"), whole("select 1;"), whole(".help"), whole("")
    (False, True, True, True)
    """
    text = text.strip()
    return not text or text.startswith(".") or text.endswith(";")


def run_shell(session: Sandbox, format_: Format) -> None:
    """Talk until the user leaves."""
    shell = Shell(session, format_)
    prompt = prompt_session(shell, history_file(os.environ))
    click.echo(f"{session.lake}, manifest {session.manifest}. .help lists what can be done, Ctrl-D leaves.")
    while True:
        try:
            text = prompt.prompt(lambda: f"{shell.case}> " if shell.case else "> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if not shell.handle(text):
            return
