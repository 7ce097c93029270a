"""``distillwatch alerts``: alerts in whole, as an investigator reads them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.alert_text import verify_command, write_alert
from pipeline.cli.lake_options import backend_option, lake_option
from pipeline.cli.output import Format, format_option, print_mappings
from pipeline.cli.prose import Prose
from pipeline.counted import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.alerts import Alert
    from pipeline.lake import Lake, Snapshot
    from pipeline.verdicts import Standing

COLUMNS = (
    *("alert_id", "subject_kind", "subject_id", "members", "first_seen", "last_seen", "records", "score"),
    *("p_value", "fdr", "as_of", "is_live", "in_list", "decision", "verdict", "member_verdicts", "sentences"),
    *("evidence", "detector", "provenance", "verify", "holds", "reasons"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert with what the lake says of its subject now.

    ``in_list``: it is in the newest scoring's list. ``decision``: of that scoring; None: it did not judge the subject.
    """

    alert: Alert
    is_live: bool
    in_list: bool
    decision: str | None


@click.command("alerts")
@lake_option
@click.argument("alert_ids", nargs=-1, metavar="[ALERT_ID]...")
@click.option("--live", is_flag=True, help="Those that workers raised at a look, instead of the newest list.")
@click.option(
    "--all", "everything", is_flag=True, help="Those of every scoring, and the live ones; newest first."
)
@click.option("--limit", "--newest", "limit", type=click.IntRange(1), help="Only so many, from the top.")
@click.option(
    "--verify",
    "verifies",
    is_flag=True,
    help="Also derive each again from the records it names, as `verify --alert` does; exit code 1 if one does not hold.",
)
@backend_option
@format_option
def command(
    *,
    lake_path: Path,
    alert_ids: tuple[str, ...],
    live: bool,
    everything: bool,
    limit: int | None,
    verifies: bool,
    backend: str,
    format_: Format,
) -> int:
    """Print alerts in whole: why, how sure, against which benign explanation, what to read, and what was decided since.

    Without ids: the list of the newest scoring, most certain first. Nothing is written. As JSON and CSV each alert is one row with
    all of its evidence and provenance.
    """
    from pipeline.assembly import engine_for, open_lake
    from pipeline.clock import SystemClock
    from pipeline.errors import UsageError
    from pipeline.verdicts import standing

    if alert_ids and (live or everything):
        msg = "name alerts by their ids, or choose them with --live or --all, not both"
        raise UsageError(msg)
    lake = open_lake(lake_path, clock=SystemClock())
    snapshot = lake.snapshot()
    known = _known(lake, snapshot)
    chosen = _named(lake, snapshot, known, alert_ids) if alert_ids else _chosen(known, live, everything)
    shown = chosen[:limit]
    stands = standing(snapshot, max((each.alert.as_of for each in known), default=None))
    outcomes = {}
    if verifies and shown:
        from pipeline.cli.derived import derive
        from pipeline.cli.progress import reporter

        with reporter("alerts") as advance:
            found = derive(
                lake,
                [each.alert for each in shown],
                engine_for(lake, backend),
                snapshot,
                lambda what, done, total: advance(done, total, what),
            )
        outcomes = {each.alert.alert_id: each.reasons for each in found}
    place = shlex.quote(str(lake_path))
    if format_ is Format.TABLE:
        _print(shown, stands, outcomes, place)
    else:
        print_mappings([_row(each, stands, outcomes, place) for each in shown], format_, columns=COLUMNS)
    click.echo(_summary(known, shown, len(chosen), outcomes, place), err=True)
    return 1 if any(outcomes.values()) else 0


def _known(lake: Lake, snapshot: Snapshot) -> list[Shown]:
    """Every alert of the lake, the most certain first."""
    import pyarrow.parquet as pq

    from pipeline.alerts import Alert, live_alerts

    judged = _judged(snapshot)
    rows = (row for path in snapshot.table_files("alerts") for row in pq.read_table(path).to_pylist())
    scored = {alert.alert_id: alert for alert in map(Alert.from_row, rows)}
    live = {alert.alert_id: alert for alert in live_alerts(lake)}
    found = []
    for alert_id, alert in (live | scored).items():
        row = judged.get((alert.subject_kind, alert.subject_id))
        # A scoring may have said other things of the same time before, by other verdicts or another model.
        same = row is not None and all(
            row[key] == getattr(alert, key) for key in ("as_of", "score", "p_value")
        )
        decision = None if row is None else row["decision"]
        is_live = alert_id not in scored
        found.append(Shown(alert, is_live, same and not is_live and decision == "alert", decision))
    return sorted(found, key=lambda each: (each.alert.p_value, -each.alert.score, each.alert.alert_id))


def _judged(snapshot: Snapshot) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What the newest scoring said of each account and cluster."""
    import pyarrow.parquet as pq

    found = {}
    for kind in ("account", "cluster"):
        key, columns = f"{kind}_id", ["as_of", "score", "p_value", "decision"]
        for path in snapshot.table_files(f"{kind}_scores"):
            for row in pq.read_table(path, columns=[key, *columns]).to_pylist():
                found[kind, row[key]] = row
    return found


def _named(lake: Lake, snapshot: Snapshot, known: Sequence[Shown], alert_ids: Sequence[str]) -> list[Shown]:
    from pipeline.alerts import find_alert

    by_id = {each.alert.alert_id: each for each in known}
    for alert_id in alert_ids:
        if alert_id not in by_id:
            find_alert(lake, snapshot, alert_id)  # says that there is none
    return [by_id[alert_id] for alert_id in dict.fromkeys(alert_ids) if alert_id in by_id]


def _chosen(known: Sequence[Shown], live: bool, everything: bool) -> list[Shown]:
    if not live and not everything:
        return [each for each in known if each.in_list]
    chosen = [each for each in known if everything or each.is_live]
    return sorted(chosen, key=lambda each: each.alert.as_of, reverse=True)


def verdicts_on(alert: Alert, stands: Standing) -> tuple[Any, dict[str, Any]]:
    """The verdict that stands on the subject (None: none), and those on a cluster's members."""
    if alert.subject_kind == "account":
        return stands.accounts.get(alert.subject_id), {}
    own = stands.clusters.get(alert.subject_id)
    members = {name: stands.accounts[name] for name in alert.members if name in stands.accounts}
    return own, {name: each for name, each in members.items() if each is not own}


def _row(each: Shown, stands: Standing, outcomes: Mapping[str, Sequence[str]], place: str) -> dict[str, Any]:
    alert = each.alert
    own, on_members = verdicts_on(alert, stands)
    reasons = outcomes.get(alert.alert_id)
    return {
        **{name: getattr(alert, name) for name in COLUMNS if hasattr(alert, name)},
        "records": alert.evidence.get("records"),
        "sentences": alert.evidence.get("sentences"),
        "is_live": each.is_live,
        "in_list": each.in_list,
        "decision": each.decision,
        "verdict": None if own is None else own.to_row(),
        "member_verdicts": {name: verdict.to_row() for name, verdict in on_members.items()},
        "verify": verify_command(alert, place),
        "holds": None if reasons is None else not reasons,
        "reasons": reasons,
    }


def _print(
    shown: Sequence[Shown], stands: Standing, outcomes: Mapping[str, Sequence[str]], place: str
) -> None:
    prose = Prose()
    for number, each in enumerate(shown, 1):
        write_alert(
            prose,
            each,
            verdicts_on(each.alert, stands),
            title=f"{number} of {len(shown)}: {each.alert.subject_kind} {each.alert.subject_id}",
            place=place,
            reasons=outcomes.get(each.alert.alert_id),
        )


def _summary(
    known: Sequence[Shown],
    shown: Sequence[Shown],
    chosen: int,
    outcomes: Mapping[str, Sequence[str]],
    place: str,
) -> str:
    listed, live = sum(each.in_list for each in known), sum(each.is_live for each in known)
    alerts = counted(chosen, "alert")
    words = [f"{len(shown):,} of {alerts}" if len(shown) < chosen else alerts]
    if outcomes:
        refused = sum(bool(reasons) for reasons in outcomes.values())
        words.append(f"{len(outcomes) - refused:,} derived again without a difference, {refused:,} refused")
    words.append(
        f"the lake has {listed:,} in the list of its newest scoring, {live:,} live ones (--live) and {len(known) - listed - live:,} "
        "older ones or such as a verdict or another scoring took off the list (--all)"
    )
    if not known:
        words.append(f"`distillwatch score --lake {place}` judges what is landed")
    return "; ".join(words)
