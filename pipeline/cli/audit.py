"""``distillwatch audit``: the record of every query, checked and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import Format, format_option, print_rows
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.sandbox import AuditLog


@click.group()
def command() -> None:
    """The record of every query: who asked what, for which case, of which state of the lake, and what became of it.

    Each line holds the hash of the one before it, so a line that was changed, removed or inserted is found.
    """


def _log(lake: str | None, file: str | None) -> AuditLog:
    from pipeline.sandbox import AUDIT_FILE, AuditLog

    if (lake is None) == (file is None):
        msg = "which record? give the lake with --lake DIR, or the file with --file FILE"
        raise UsageError(msg)
    path = Path(file) if file is not None else Path(str(lake)) / AUDIT_FILE
    log = AuditLog(path)
    # A head without a record is one that was taken away, which is for `verify` to say.
    if not path.is_file() and not log.head.is_file():
        msg = f"there is no record in {path}; it begins with the first query"
        raise UsageError(msg)
    return log


_lake = click.option("--lake", metavar="DIR", help="Folder of the lake.")
_file = click.option("--file", metavar="FILE", help="A record somewhere else.")


@command.command()
@_lake
@_file
@click.option(
    "--head",
    metavar="HASH",
    help="A hash that was noted elsewhere (printed by an earlier check, or in a case file): a line has to have it.",
)
def verify(lake: str | None, file: str | None, head: str | None) -> None:
    """Check every line, and print how many there are and the hash of the last.

    Note that hash somewhere else now and then: it is what shows later that the end was not cut off, or the whole
    made up anew, by somebody who may write both files.
    """
    log = _log(lake, file)
    found = log.verify(head=head)
    click.echo(f"{log.path}: {found.lines} lines, whole\nhead {found.head}")


@command.command(name="list")
@_lake
@_file
@click.option("--case", metavar="CASE", help="Only queries of this case.")
@click.option("--who", metavar="NAME", help="Only queries of this person.")
@click.option("-n", "--last", type=click.IntRange(min=1), metavar="COUNT", help="Only the last so many.")
@format_option
def list_(
    lake: str | None, file: str | None, case: str | None, who: str | None, last: int | None, format_: Format
) -> None:
    """Queries, oldest first, each with what became of it. Not checked: that is `verify`."""
    rows = [
        row
        for row in _queries(_log(lake, file))
        if (case is None or row["case"] == case) and (who is None or row["who"] == who)
    ]
    rows = rows[-last:] if last else rows
    columns = [
        "line",
        "at",
        "who",
        "case",
        "query",
        "parameters",
        "manifest",
        "outcome",
        "rows",
        "milliseconds",
    ]
    if format_ is not Format.TABLE:
        columns += ["reason", "hash"]
    print_rows(columns, ([row.get(name) for name in columns] for row in rows), format_)


def _queries(log: AuditLog) -> Iterator[Mapping[str, object]]:
    asked: dict[str, dict[str, object]] = {}
    for entry in log:
        document = entry.document
        if document["event"] == "asked":
            asked[entry.hash] = {
                "line": entry.number,
                **{key: document.get(key) for key in ("at", "who", "case", "parameters", "manifest", "hash")},
                "query": document.get("playbook") or " ".join(str(document["sql"]).split()),
                "outcome": "not ended",
            }
        elif document["event"] == "ended" and document.get("of") in asked:
            row = asked[document["of"]]
            row |= {key: document.get(key) for key in ("outcome", "rows", "milliseconds", "reason")}
        elif document["event"] not in {"asked", "ended"}:
            about = {k: v for k, v in document.items() if k not in {"n", "at", "previous", "hash", "event"}}
            asked[entry.hash] = {
                "line": entry.number,
                "at": document.get("at"),
                "who": document.get("who"),
                "case": document.get("case"),
                "query": f"({document['event']})",
                "parameters": about,
                "hash": entry.hash,
            }
    yield from asked.values()
