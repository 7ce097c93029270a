"""``distillwatch score``: signals, scores, clusters and alerts for what is landed."""

from __future__ import annotations

import os
import shlex
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import backend_option, lake_option
from pipeline.cli.output import Format, format_option, print_mappings
from pipeline.cli.refit import NOT_CALIBRATED
from pipeline.counted import counted

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.alerts import Alert
    from pipeline.scoring import Scoring

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
COLUMNS = ("subject", "kind", "members", "records", "score", "p_value", "why", "alert_id")


@click.command("score")
@lake_option
@backend_option
@click.option(
    "--fdr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="False discovery rate of the alert list.",
)
@click.option(
    "--as-of", type=click.DateTime(TIMES), help="Judge the windows before this time, UTC; default: all."
)
@click.option(
    "--lookback-days",
    type=click.FloatRange(0, min_open=True),
    help="Judge so many days before that; default: all.",
)
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge by this forest, made by `distillwatch refit`; it is kept in the lake.  [default: the shipped one]",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=min(4, os.cpu_count() or 1),
    help="Processes that read records; the answer does not depend on it.  [default: a core each, up to 4]",
)
@format_option
def command(
    *,
    lake_path: Path,
    backend: str,
    fdr: float,
    as_of: datetime | None,
    lookback_days: float | None,
    model: Path | None,
    workers: int,
    format_: Format,
) -> None:
    """Judge every account and cluster of a lake, publish the tables, and print the alert list.

    Rows are the alerts, most certain first; a summary goes to standard error, and `distillwatch alerts` prints the
    alerts in whole. An account that is not in the list is not cleared: `account_scores.decision` says `cannot_tell` where it has
    fewer than 50 records, where it has more but too few of the signals that the detector asks for (`score` is null, too), and
    where its p-value is below .05 without being in the list.
    """
    from pipeline.assembly import engine_for, open_lake
    from pipeline.cli.progress import reporter
    from pipeline.clock import SystemClock
    from pipeline.lake_models import use_model
    from pipeline.scoring import score_lake

    clock = SystemClock()
    lake = open_lake(lake_path, clock=clock)
    detector = None if model is None else use_model(lake.store, model)
    engine = engine_for(lake, backend)
    with reporter("score") as advance:
        scoring = score_lake(
            lake,
            lake.snapshot(),
            engine,
            clock,
            detector=detector,
            as_of=as_of,
            lookback=timedelta(days=lookback_days) if lookback_days else None,
            fdr=fdr,
            workers=workers,
            report=lambda what, done, total: advance(done, total, what),
        )
    print_mappings([_row(alert) for alert in scoring.alerts], format_, columns=COLUMNS)
    click.echo(_summary(scoring), err=True)
    if detector is not None and detector.forest.agreed is None:
        click.echo(f"note: {model}: {NOT_CALIBRATED}", err=True)
    if scoring.alerts:
        click.echo(f"each alert in whole: distillwatch alerts --lake {shlex.quote(str(lake_path))}", err=True)


def _row(alert: Alert) -> dict[str, object]:

    sentences = alert.evidence["sentences"]
    return {
        "subject": alert.subject_id,
        "kind": alert.subject_kind,
        "members": len(alert.members),
        "records": alert.evidence["records"],
        "score": alert.score,
        "p_value": alert.p_value,
        "why": sentences[0] if sentences else "",
        "alert_id": alert.alert_id,
    }


def _summary(scoring: Scoring) -> str:
    from pipeline.verdict_effect import summary

    decisions = scoring.tables["account_scores"]["decision"].value_counts().to_pylist()
    counts = {entry["values"]: entry["counts"] for entry in decisions}
    words = ", ".join(
        f"{counts.get(name, 0):,} {text}"
        for name, text in (
            ("alert", "in the list"),
            ("allowed", "allowed"),
            ("clear", "clear"),
            ("cannot_tell", "cannot tell"),
        )
    )
    clusters = scoring.tables["cluster_scores"].num_rows
    return (
        f"{scoring.accounts:,} accounts ({words}), {counted(clusters, 'cluster')}; judged by the {scoring.reference.name} "
        f"population of {scoring.reference.accounts:,} accounts at a false discovery rate of {scoring.fdr:g}; "
        f"{summary(scoring.standing)}; "
        f"{scoring.seconds:.1f} s, manifest {scoring.manifest}"
    )
