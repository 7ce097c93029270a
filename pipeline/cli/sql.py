"""``distillwatch sql``: ask a lake a question, or open a shell over it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.lake_options import say_if_inexact
from pipeline.cli.output import Format, print_rows
from pipeline.cli.sql_answers import AnswerFormat, check_destination, write_answer
from pipeline.cli.sql_options import login_name, session_options
from pipeline.errors import DistillwatchError, UsageError

if TYPE_CHECKING:
    from pipeline.sandbox import Answer
    from pipeline.warehouse import SqlFile

_MOST_ROWS = 1_000_000
_MOST_BYTES = 1 << 30


def _parameters(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            msg = f"{text!r} is not NAME=VALUE"
            raise click.BadParameter(msg)
        found[name] = value
    return found


@click.command(
    epilog="""\b
Examples:
  distillwatch sql --list
  distillwatch sql --lake lake                      (a shell, on a terminal)
  distillwatch sql --lake lake -c "show tables"
  distillwatch sql --lake lake -c "select * from account_scores order by score desc limit 5"
  distillwatch sql --lake lake account_timeline --param account_id=acct-17 --case 2026-17
  distillwatch sql --lake lake -f question.sql --format parquet --out answer.parquet"""
)
@click.argument("playbook", required=False)
@click.option("--lake", metavar="DIR", help="Folder of the lake.")
@click.option(
    "-c", "--command", "query", metavar="QUERY", help="One SELECT (or DESCRIBE, SUMMARIZE, SHOW TABLES)."
)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File(encoding="utf-8"),
    help="A file with one SELECT; - is standard input.",
)
@click.option(
    "--param",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parameters,
    help="A named parameter, written $NAME in the SQL. Values are bound, never pasted. May be repeated. "
    "In a query of your own a value is text: write $NAME::bigint or $NAME::timestamp for another type.",
)
@click.option(
    "--list", "listing", is_flag=True, help="List the playbooks with their questions and parameters."
)
@click.option(
    "--show", is_flag=True, help="Print the playbook's file: its SQL, what it detects and what it does not."
)
@session_options
@click.option(
    "--format",
    "format_",
    type=click.Choice([each.value for each in AnswerFormat]),
    default=AnswerFormat.TABLE.value,
    show_default=True,
    callback=lambda _context, _option, value: AnswerFormat(value),
    help="How the answer is written.",
)
@click.option("--out", metavar="FILE", help="Write the answer to a file.")
@click.option(
    "--max-rows",
    type=click.IntRange(min=1),
    default=_MOST_ROWS,
    show_default=True,
    help="An answer with more rows is cut, and that is an error (except in a table).",
)
def command(
    *,
    playbook: str | None,
    lake: str | None,
    query: str | None,
    source: Any,
    given: dict[str, str],
    listing: bool,
    show: bool,
    who: str | None,
    case: str | None,
    seconds: float,
    memory: int,
    weaker_guard: bool,
    audit: str | None,
    manifest: int | None,
    format_: AnswerFormat,
    out: str | None,
    max_rows: int,
) -> None:
    """Ask a lake a question: a query, a file, or a PLAYBOOK by name. Without any of them: a shell.

    A session sees the lake as it is when it starts, and reads. Queries run in a process that can do nothing else:
    no writing, no network, no file outside the lake, and it is killed at its limits. Each is recorded before it runs
    (`distillwatch audit` shows and checks the record).
    """
    if listing:
        _list(format_)
        return
    shell = playbook is query is source is None and sys.stdin.isatty() and sys.stdout.isatty()
    file = None if shell else _question(playbook, query, source)
    if show and file is not None:
        click.echo(file.text.rstrip())
        return
    if lake is None:
        msg = "which lake? give its folder with --lake DIR"
        raise UsageError(msg)
    check_destination(format_, out, Path(lake))
    from pipeline.sandbox import AuditLog, Limits, Sandbox, prepare

    prepare()
    # Typed values where a header declares them, text otherwise.
    values = file.bind(given) if file is not None and (file.parameters or playbook) else given
    about = {"playbook": file.name} if file is not None and playbook else {}
    session = Sandbox(
        lake,
        who=who or login_name(),
        case=case,
        limits=Limits(seconds=seconds, memory_bytes=memory, rows=max_rows, answer_bytes=_MOST_BYTES),
        audit=AuditLog(audit) if audit else None,
        manifest=manifest,
        weaker_guard=weaker_guard,
    )
    with session:
        if "landlock" not in session.guard:
            click.echo(f"weaker guard: the kernel does not confine this session ({session.guard})", err=True)
        say_if_inexact(lake, manifest)
        if file is None:
            from pipeline.shell import run_shell

            run_shell(session, Format(format_.value) if not format_.binary else Format.TABLE)
            return
        answer = session.ask(file.statement, values, about=about)
        unknown = session.unknown_values(answer, values)
    _tell(answer, format_, out)
    for sentence in unknown:
        click.echo(sentence, err=True)


def _list(format_: AnswerFormat) -> None:
    from pipeline.warehouse import load_tree

    if format_.binary:
        msg = f"the list of playbooks is printed as table, csv or json, not as {format_.value}"
        raise UsageError(msg)
    rows = [
        (
            file.name,
            file.header["question"],
            " ".join(
                parameter.name if parameter.required else f"[{parameter.name}]"
                for parameter in file.parameters
            ),
        )
        for file in load_tree()["playbooks"]
    ]
    if format_ is not AnswerFormat.TABLE:
        print_rows(["playbook", "question", "parameters"], rows, Format(format_.value))
        return
    for name, question, parameters in rows:
        click.echo(f"{click.style(name, bold=True)}  {parameters}\n    {question}")
    click.echo(
        "\nRun one with: distillwatch sql --lake DIR PLAYBOOK --param NAME=VALUE (in brackets: optional)"
    )


def _question(playbook: str | None, query: str | None, source: Any) -> SqlFile:
    from pipeline.warehouse import tree

    if sum(part is not None for part in (playbook, query, source)) != 1:
        msg = (
            "give exactly one question: -c QUERY, -f FILE, or the name of a playbook (--list shows them); "
            "on a terminal, none of them opens a shell"
        )
        raise UsageError(msg)
    if playbook is not None:
        return tree.playbook(playbook)
    if query is not None:
        return tree.parse("the query", "playbooks", query)
    return tree.parse(getattr(source, "name", "the file"), "playbooks", source.read())


def _tell(answer: Answer, format_: AnswerFormat, out: str | None) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    hidden = write_answer(answer, format_, out, width=width)
    if hidden:
        click.echo(
            f"not shown, too wide: {', '.join(hidden)}. Name the ones you want, or use --format json.",
            err=True,
        )
    if answer.truncated:
        msg = f"only the first {answer.table.num_rows} rows are here; ask for fewer, or raise --max-rows"
        if format_ is AnswerFormat.TABLE:
            click.echo(msg, err=True)
        else:
            # Whoever reads this is a program, and would take it for all there is.
            raise DistillwatchError(msg)
