"""``distillwatch verdict``: allow-lists, and what investigators decided."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.lake_options import lake_option
from pipeline.cli.output import Format, format_option, print_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pipeline.records.pseudonyms import Pseudonyms
    from pipeline.verdicts import Verdict

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
COLUMNS = (
    "subject_kind", "subject_id", "verdict", "state", "owner", "reason", "decided_at", "expires_at", "alert_id", "case_id",
    "members", "verdict_id",
)  # fmt: skip
BOUNDED = (
    "It counts from the next `score` or `replay` on; what was published before stays as it was published."
)


@click.group()
def command() -> None:
    """Allow-lists and investigators' verdicts: add, list, withdraw, import."""


def _subject_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--unseen", is_flag=True, help="Also accounts that have no records yet: their traffic is to come."
        ),
        click.option(
            "--pseudonym-key",
            "pseudonyms",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            callback=_pseudonyms,
            help="Key of a lake with pseudonyms: accounts are then named by their true names.",
        ),
    ):
        function = option(function)
    return function


def _pseudonyms(_context: click.Context, _option: click.Parameter, path: Path | None) -> Pseudonyms | None:
    from pipeline.records.pseudonyms import Pseudonyms

    return None if path is None else Pseudonyms.from_file(path)


def _owner_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--owner", help="Who answers for it.  [default: the user's name]")(function)


@command.command("add")
@click.argument("subject")
@click.argument("verdict", type=click.Choice(["attack", "benign", "allowed", "undecided"]))
@lake_option
@click.option("--reason", required=True, help="What was found, and how; recorded.")
@_owner_option
@click.option("--expires", type=click.DateTime(TIMES), help="UTC; required for `allowed`, which ends then.")
@click.option("--alert", "alert_id", help="The alert that it answers.")
@click.option("--case", "case_id", help="The case that it belongs to.")
@click.option(
    "--kind",
    type=click.Choice(["account", "cluster"]),
    help="What SUBJECT is.  [default: whichever the lake has]",
)
@_subject_options
@format_option
def add(
    *,
    subject: str,
    verdict: str,
    lake_path: Path,
    reason: str,
    owner: str | None,
    expires: datetime | None,
    alert_id: str | None,
    case_id: str | None,
    kind: str | None,
    unseen: bool,
    pseudonyms: Pseudonyms | None,
    format_: Format,
) -> None:
    """Record what was decided about SUBJECT, an account or a cluster.

    A verdict on a cluster holds for those who are its members now as well, unless they have one of their own. A later
    verdict overrules an earlier one; nothing is deleted.
    """
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.times import from_text
    from pipeline.verdict_subjects import Asked, LakeSubjects
    from pipeline.verdicts import read_verdicts, record, stand

    clock = SystemClock()
    lake = open_lake(lake_path, clock=clock)
    snapshot = lake.snapshot()
    subjects = LakeSubjects(lake, snapshot, [subject], pseudonyms=pseudonyms, unseen=unseen)
    asked = Asked(subject, verdict, reason, owner or getpass.getuser(), expires, alert_id, case_id, kind)
    now = from_text(clock.now())
    assert now is not None
    new = subjects.verdict(asked, now)
    standing = stand(read_verdicts(snapshot), subjects.as_of)
    before = (standing.accounts if new.subject_kind == "account" else standing.clusters).get(new.subject_id)
    record(lake, [new])
    _print([new], {new.verdict_id: "stands"}, format_)
    if before is not None:
        overruled = f"it overrules {before.verdict} by {before.owner} ({before.verdict_id}). "
    else:
        overruled = ""
    click.echo(f"recorded; {overruled}{BOUNDED}", err=True)


@command.command("list")
@lake_option
@click.option("--all", "everything", is_flag=True, help="Also what was overruled or withdrawn.")
@click.option("--subject", help="Of this account or cluster only.")
@click.option(
    "--as-of",
    type=click.DateTime(TIMES),
    help="What stands as of this time, UTC.  [default: the end of the lake's newest window]",
)
@format_option
def list_(
    *, lake_path: Path, everything: bool, subject: str | None, as_of: datetime | None, format_: Format
) -> None:
    """List what stands and what has expired, newest first."""
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.lake_accounts import last_window_end
    from pipeline.times import to_text
    from pipeline.verdicts import EXPIRED, STANDS, read_verdicts, states

    snapshot = open_lake(lake_path, clock=SystemClock()).snapshot()
    if as_of is None:
        as_of = last_window_end(snapshot, snapshot.config.window_seconds)
    verdicts = read_verdicts(snapshot)
    state = states(verdicts, as_of)
    shown = [
        each
        for each in verdicts
        if (everything or state[each.verdict_id] in {STANDS, EXPIRED})
        and subject in {None, each.subject_id, *each.members}
    ]
    _print(shown, state, format_)
    counts = {name: list(state.values()).count(name) for name in dict.fromkeys(state.values())}
    words = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "no verdicts"
    click.echo(f"{words}; as of {to_text(as_of) or 'before any record'}", err=True)


@command.command("withdraw")
@click.argument("verdict_id")
@lake_option
@click.option("--reason", required=True, help="Why it does not hold; recorded.")
@_owner_option
@format_option
def withdraw(*, verdict_id: str, lake_path: Path, reason: str, owner: str | None, format_: Format) -> None:
    """Take a verdict back: a row that says so is added, and what it had overruled stands again."""
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.lake_accounts import last_window_end
    from pipeline.times import from_text
    from pipeline.verdicts import read_verdicts, record, states, withdrawal

    clock = SystemClock()
    lake = open_lake(lake_path, clock=clock)
    now = from_text(clock.now())
    assert now is not None
    row = withdrawal(
        lake.snapshot(), verdict_id, reason=reason, owner=owner or getpass.getuser(), decided_at=now
    )
    record(lake, [row])
    snapshot = lake.snapshot()
    verdicts = [each for each in read_verdicts(snapshot) if each.subject == row.subject]
    state = states(verdicts, last_window_end(snapshot, snapshot.config.window_seconds))
    _print(verdicts, state, format_)
    click.echo(f"withdrawn. {BOUNDED}", err=True)


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@lake_option
@click.option("--owner", help="Who answers for rows that name nobody.")
@_subject_options
@format_option
def import_(
    *,
    file: Path,
    lake_path: Path,
    owner: str | None,
    unseen: bool,
    pseudonyms: Pseudonyms | None,
    format_: Format,
) -> int:
    """Add the verdicts of FILE, a .csv with a header or a .json array of objects.

    Columns: subject, kind, verdict, reason, owner, expires, alert, case; a row without a verdict is an entry of an
    allow-list. Good rows are added together, bad ones are named by file and line (exit code 1). What stands already is
    not added again.
    """
    from pipeline.allow_lists import import_verdicts
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.times import from_text

    clock = SystemClock()
    lake = open_lake(lake_path, clock=clock)
    now = from_text(clock.now())
    assert now is not None
    done = import_verdicts(
        lake, lake.snapshot(), file, decided_at=now, owner=owner, unseen=unseen, pseudonyms=pseudonyms
    )
    _print(done.added, {each.verdict_id: "stands" for each in done.added}, format_)
    for line, problem in done.bad:
        click.echo(f"{file}, line {line}: {problem}", err=True)
    click.echo(
        f"{len(done.added):,} added, {done.unchanged:,} stood already, {len(done.bad):,} bad rows. {BOUNDED}",
        err=True,
    )
    return 1 if done.bad else 0


def _print(verdicts: Sequence[Verdict], state: dict[str, str], format_: Format) -> None:
    rows = [
        {**each.to_row(), "members": list(each.members), "state": state[each.verdict_id]} for each in verdicts
    ]
    print_mappings(rows, format_, columns=COLUMNS)
