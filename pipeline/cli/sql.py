"""``distillwatch sql``: ask a lake a question."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.output import Format, format_option, print_rows
from pipeline.errors import DistillwatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.warehouse import SqlFile

_BATCH = 1024


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
  distillwatch sql --lake lake -c "show tables"
  distillwatch sql --lake lake -c "select * from account_scores order by score desc limit 5"
  distillwatch sql --lake lake account_timeline --param account_id=acct-17
  distillwatch sql --lake lake -f question.sql --format csv > answer.csv"""
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
@format_option
def command(
    *,
    playbook: str | None,
    lake: str | None,
    query: str | None,
    source: Any,
    given: dict[str, str],
    listing: bool,
    show: bool,
    format_: Format,
) -> None:
    """Ask a lake a question: a query, a file, or a PLAYBOOK by name.

    A session sees the lake as it is when it starts. It runs one reading statement and refuses others; that keeps
    mistakes out, it is not a sandbox for strangers' SQL.
    """
    if listing:
        _list(format_)
        return
    file = _question(playbook, query, source)
    if show:
        click.echo(file.text.rstrip())
        return
    if lake is None:
        msg = "which lake? give its folder with --lake DIR"
        raise UsageError(msg)
    _answer(lake, file, given, format_)


def _list(format_: Format) -> None:
    from pipeline.warehouse import load_tree

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
    if format_ is not Format.TABLE:
        print_rows(["playbook", "question", "parameters"], rows, format_)
        return
    for name, question, parameters in rows:
        click.echo(f"{click.style(name, bold=True)}  {parameters}\n    {question}")
    click.echo(
        "\nRun one with: distillwatch sql --lake DIR PLAYBOOK --param NAME=VALUE (in brackets: optional)"
    )


def _question(playbook: str | None, query: str | None, source: Any) -> SqlFile:
    from pipeline.warehouse import tree

    if sum(part is not None for part in (playbook, query, source)) != 1:
        msg = "give exactly one question: -c QUERY, -f FILE, or the name of a playbook (--list shows them)"
        raise UsageError(msg)
    if playbook is not None:
        return tree.playbook(playbook)
    if query is not None:
        return tree.parse("the query", "playbooks", query)
    return tree.parse(getattr(source, "name", "the file"), "playbooks", source.read())


def _answer(lake: str, file: SqlFile, given: Mapping[str, str], format_: Format) -> None:
    import duckdb

    from pipeline.cli.sql_rows import print_answer
    from pipeline.warehouse import check_statement, connect

    connection = connect(lake)
    try:
        wanted = check_statement(connection, file.statement)
        connection.execute(file.statement, _values(file, wanted, given))
        names = [column[0] for column in connection.description]
        types = [str(column[1]) for column in connection.description]
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        hidden = print_answer(names, types, _fetched(connection), format_, width=width)
    except duckdb.Error as error:
        raise DistillwatchError(str(error)) from error
    finally:
        connection.close()
    if hidden:
        click.echo(
            f"not shown, too wide: {', '.join(hidden)}. Name the ones you want, or use --format json.",
            err=True,
        )


def _values(file: SqlFile, wanted: frozenset[str], given: Mapping[str, str]) -> dict[str, object]:
    """Typed values where a header declares them, text otherwise."""
    if file.parameters:
        return file.bind(given)
    missing, unknown = sorted(wanted - set(given)), sorted(set(given) - wanted)
    if missing:
        msg = f"{file.name} needs a value for {', '.join(missing)}; give it as --param {missing[0]}=VALUE"
        raise UsageError(msg)
    if unknown:
        msg = f"{file.name} has no parameter {unknown[0]!r}; it takes {', '.join(sorted(wanted)) or 'none'}"
        raise UsageError(msg)
    return dict(given)


def _fetched(connection: Any) -> Iterator[tuple[Any, ...]]:
    while rows := connection.fetchmany(_BATCH):
        yield from rows
