"""``distillwatch indicators``: what others can look for, and what others found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.lake_options import lake_option
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group()
def command() -> None:
    """Share what was found as STIX 2.1, hashed for one recipient; import what others found."""


def _common(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--weaker-guard",
            is_flag=True,
            help="Go on where this machine cannot confine the process that reads.",
        ),
        click.option("--who", help="Who asks, for the audit record.  [default: your login name]"),
        click.option(
            "--recipient-key",
            "key_file",
            required=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File of at least 32 random bytes that you share with this one partner.",
        ),
    ):
        function = option(function)
    return function


@command.command("export")
@lake_option
@_common
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write."
)
@click.option("--producer", required=True, help="Who shares it: goes into the bundle.")
@click.option(
    "--tlp",
    type=click.Choice(["clear", "green", "amber", "red"]),
    default="amber",
    show_default=True,
    help="How far the recipient may hand it on.",
)
@click.option(
    "--valid-days",
    type=click.IntRange(1),
    default=90,
    show_default=True,
    help="Days after it was last seen that an identifier is worth looking for.",
)
@click.option(
    "--most-elsewhere",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Leave out networks, payments and programs that more accounts than this use beside those exported.",
)
@click.option(
    "--also-alerts", is_flag=True, help="Also accounts with an alert on which nobody has decided yet."
)
def export(
    *,
    lake_path: Path,
    key_file: Path,
    who: str | None,
    weaker_guard: bool,
    out: Path,
    producer: str,
    tlp: str,
    valid_days: int,
    most_elsewhere: int,
    also_alerts: bool,
) -> None:
    """Write a bundle about accounts on which a verdict "attack" stands.

    Accounts, networks, payments and user agents are replaced by HMAC-SHA-256 under the recipient's key. In a lake with
    pseudonyms it is the pseudonyms that are hashed: only a recipient with the same pseudonym key can match them.
    """
    from pipeline.cli.case import login
    from pipeline.indicators import ExportSettings, RecipientKey, export_bundle
    from pipeline.investigate import open_lake

    settings = ExportSettings(producer, tlp, valid_days, most_elsewhere)
    key = RecipientKey.from_file(key_file)
    with open_lake(lake_path, who=who or login(), weaker_guard=weaker_guard, rows=None) as lake:
        rows = lake.playbook("identifiers_to_export", also_alerts=also_alerts).to_pylist()
        pseudonyms = lake.lake.config.pseudonym_fingerprint
    accounts = {row["account_id"] for row in rows}
    if not accounts:
        msg = (
            'there is nothing to export: no verdict "attack" stands on any account that has records; '
            "`distillwatch verdict add` records one, --also-alerts takes alerts as well"
        )
        raise UsageError(msg)
    bundle = export_bundle(rows, key, settings)
    try:
        out.write_text(bundle, encoding="utf-8")
    except OSError as error:
        msg = f"{out} cannot be written: {error.strerror}; name another file with --out"
        raise UsageError(msg) from error
    click.echo(f"{out}: {len(accounts)} accounts, TLP:{tlp.upper()}, key {key.fingerprint}")
    if pseudonyms is not None:
        click.echo(
            f"note: this lake holds pseudonyms (key {pseudonyms}); those were hashed, not the names behind them",
            err=True,
        )


@command.command("import")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@lake_option
@_common
def import_(*, bundle: Path, lake_path: Path, key_file: Path, who: str | None, weaker_guard: bool) -> None:
    """Mark accounts that BUNDLE, a STIX 2.1 file of somebody who has the same key, names.

    Marks are for people: the playbook `accounts_named_by_others` shows them. No score, alert or verdict changes. Import
    again when more has landed.
    """
    from pipeline.cli.case import login
    from pipeline.clock import SystemClock
    from pipeline.indicators import RecipientKey, import_bundle
    from pipeline.investigate import open_lake
    from pipeline.times import from_text

    key, asks = RecipientKey.from_file(key_file), who or login()
    now = from_text(SystemClock().now())
    assert now is not None
    data = bundle.read_bytes()
    with open_lake(lake_path, who=asks, weaker_guard=weaker_guard, rows=None) as lake:
        rows = lake.playbook("identifiers_in_use").to_pylist()
        try:
            found = import_bundle(lake.lake, data, key, rows, who=asks, now=now)
        except UsageError as error:
            msg = f"{bundle}: {error.message}"
            raise UsageError(msg) from error
    shared = found.shared
    click.echo(
        f"{bundle}: {len(shared.indicators)} indicators of {shared.sender}, TLP:{shared.tlp.upper()}: "
        f"{len(found.accounts)} accounts of this lake match; {found.unmatched} indicators match nothing in it"
    )
    if shared.foreign:
        click.echo(
            f"note: {len(shared.foreign)} indicators are not hashed identifiers and were left out, first {shared.foreign[0]}",
            err=True,
        )
    if found.accounts:
        click.echo(f"see them: distillwatch sql --lake {lake_path} accounts_named_by_others")
