"""``distillwatch case``: one HTML file about an account or a cluster, for whoever has to decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import LAKE, say_if_inexact
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.casefile import Checked


MOST_ROWS = 1_000_000
"""Of one answer: windows of a cluster of thousands of accounts."""


@click.command(
    epilog="""\b
Examples:
  distillwatch case --lake lake acct-17
  distillwatch case --lake lake cluster-237b31f21f545c0e --case C-2026-041 --out C-2026-041.html
  distillwatch case --check C-2026-041.html"""
)
@click.argument("subject", required=False)
@click.option("--lake", "lake_path", type=LAKE, help="Folder of the lake.")
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: case-SUBJECT.html]",
)
@click.option("--who", help="Who asks, for the audit record.  [default: your login name]")
@click.option(
    "--case", "case_id", help="The case it belongs to: goes into the audit record and into the file."
)
@click.option(
    "--as-of",
    "manifest",
    type=click.IntRange(0),
    help="See the lake as it was when this manifest was published: what landed later is not there.  [default: as it is now]",
)
@click.option("--prepared-by", help="Written into the file, as given.")
@click.option("--dated", help="Written into the file, as given; nothing else in it tells when it was made.")
@click.option(
    "--audit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the audit record.  [default: in the lake]",
)
@click.option(
    "--weaker-guard", is_flag=True, help="Go on where this machine cannot confine the process that reads."
)
@click.option(
    "--check",
    "checked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Hold a case file against its own digest and draw its page again, without a lake.",
)
def command(
    *,
    subject: str | None,
    lake_path: Path | None,
    out: Path | None,
    who: str | None,
    case_id: str | None,
    manifest: int | None,
    prepared_by: str | None,
    dated: str | None,
    audit: Path | None,
    weaker_guard: bool,
    checked: Path | None,
) -> int:
    """Write a self-contained case file about SUBJECT: an account's id, or a cluster's id or name.

    The file asks for nothing outside itself, can be printed, and says how to derive again what it says. The same lake,
    subject and version give the same bytes.
    """
    if checked is not None:
        from pipeline.casefile import check

        return _told(checked, check(checked))
    if subject is None or lake_path is None:
        msg = "name an account or a cluster, and the lake with --lake DIR; or a case file with --check FILE"
        raise UsageError(msg)
    from pipeline.casefile import case_document, render
    from pipeline.cli.progress import reporter
    from pipeline.investigate import open_lake

    with (
        reporter("case") as report,
        open_lake(
            lake_path,
            who=who or login(),
            case=case_id,
            manifest=manifest,
            audit=audit,
            weaker_guard=weaker_guard,
            rows=MOST_ROWS,
        ) as investigation,
    ):
        say_if_inexact(lake_path, manifest)
        case = investigation.case(subject, report)
    page = render(case_document(case, prepared_by=prepared_by, case_id=case_id, dated=dated))
    path = out or Path(f"case-{_plain(subject)}.html")
    try:
        path.write_bytes(page.encode())
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; name another file with --out"
        raise UsageError(msg) from error
    click.echo(
        f"{path}: {len(page.encode()):,} bytes, {case.subject.kind} {subject}, manifest {case.lake['manifest']}"
    )
    return 0


def _told(path: Path, found: Checked) -> int:
    for difference in found.differences:
        click.echo(difference)
    again = (
        "drawn again from it the page is the same"
        if found.same_code
        else "another version drew the page, so that was not compared"
    )
    click.echo(
        f"{path}: {found.subject}: {len(found.differences)} differences"
        if found.differences
        else f"{path}: {found.subject}: its data has the SHA-256 that it states, {found.digest}; {again}"
    )
    return 1 if found.differences else 0


def login() -> str:
    """Who runs the command, by the machine.

    Raises
    ------
    UsageError
        The machine does not say.
    """
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        msg = "this machine does not say who you are; name yourself with --who"
        raise UsageError(msg) from error


def _plain(subject: str) -> str:
    """A subject as part of a file's name."""
    return (
        "".join(each if each.isalnum() or each in "-_." else "_" for each in subject)[:80].lstrip(".")
        or "subject"
    )
