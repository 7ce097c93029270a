"""``distillwatch case``: one HTML file about an account or a cluster, for whoever has to decide."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import LAKE, say_if_inexact
from pipeline.counted import counted
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.casefile import Checked


MOST_ROWS = 1_000_000
"""Of one answer: windows of a cluster of thousands of accounts."""

ALTERED, NOT_CHECKED = 1, 3
"""What `--check` ends with: something was altered; nothing was found, but what the page shows was not checked."""

SHOWN_PLACES = 5
"""Of a page that another version drew: how many places with other words are printed."""


@click.command(
    epilog="""\b
Examples:
  distillwatch case --lake lake acct-17
  distillwatch case --lake lake cluster-237b31f21f545c0e --case C-2026-041 --out C-2026-041.html
  distillwatch case --check C-2026-041.html

\b
--check ends with
  0  the data has the SHA-256 that the file states, and the page is what the data gives, byte for byte
  1  something was altered; it says what
  2  it is not a case file
  3  the data has that SHA-256, but what the page shows was NOT checked: another version drew it
A file whose data, digest and page were altered together fits itself: only the lake tells (--as-of, verify)."""
)
@click.argument("subject", required=False)
@click.option("--lake", "lake_path", type=LAKE, help="Folder of the lake.")
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: case-SUBJECT.html]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if there is one.")
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
    overwrite: bool,
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
    path = out or Path(f"case-{_plain(subject)}.html")
    if not overwrite and os.path.lexists(path):
        raise UsageError(_is_there(path))
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
    try:
        # "x": what came there while the lake was read is somebody's, too.
        with path.open("wb" if overwrite else "xb") as file:
            file.write(page.encode())
    except FileExistsError as error:
        raise UsageError(_is_there(path)) from error
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
    if found.differences:
        click.echo(f"{path}: {found.subject}: {counted(len(found.differences), 'difference')}")
        return ALTERED
    data = f"{path}: {found.subject}: its data has the SHA-256 that it states, {found.digest}"
    if found.unchecked is None:
        click.echo(f"{data}; drawn again from it the page is the same")
        return 0
    from pipeline.lake.segments import code_fingerprint

    click.echo(f"checked: {data}")
    click.echo(
        f"NOT checked: what the page shows. The file names {found.drawn_by} as what drew it, this is {code_fingerprint()}; {found.unchecked}."
    )
    for page, here in found.other_words[:SHOWN_PLACES]:
        click.echo(f"  the page shows    {_brief(page)}\n  this version has  {_brief(here)}")
    if (more := len(found.other_words) - SHOWN_PLACES) > 0:
        click.echo(f"  and {more:,} places more")
    click.echo(
        "An older version's wording looks like that, and so does a forgery. To check the rest, run `distillwatch case --check` with the "
        f"version {found.drawn_by}; or rely on the data alone, and make the page again from the lake with the command under «How to check this»."
    )
    return NOT_CHECKED


def _brief(text: str, most: int = 160) -> str:
    return repr(text if len(text) <= most else f"{text[: most - 1]}…") if text else "nothing"


def _is_there(path: Path) -> str:
    return f"{path} is there already and was left as it is; name another file with --out, or replace it with --overwrite"


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
    """A subject as part of a file's name; where that is not the subject itself, with a digest, so that no two share one."""
    plain = "".join(each if each.isalnum() or each in "-_." else "_" for each in subject)[:80].lstrip(".")
    if plain == subject:
        return plain
    digest = hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{plain or 'subject'}-{digest}"
