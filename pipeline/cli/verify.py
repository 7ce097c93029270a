"""``distillwatch verify``: the proof that nothing was lost, doubled or changed; an alert derived again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipeline.cli.kafka_options import comparison_options
from pipeline.cli.lake_options import backend_option, lake_option
from pipeline.cli.output import Format, format_option, print_mappings

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake import Lake
    from pipeline.verification import KafkaSide, Verification

FINDING_COLUMNS = ("severity", "check", "chain", "where", "expected", "found")


@click.command("verify")
@lake_option
@click.option(
    "--alert",
    "alert_ids",
    multiple=True,
    help="Derive this alert again from the records it names, instead of checking the lake; may be repeated: alerts of "
    "one scoring share the work.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Landed windows to recompute from their records.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Recompute every window and digest every column of every file."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which windows are sampled.")
@comparison_options(
    "--bootstrap-servers",
    does="Also hold the lake against this Kafka, message by message.  [default: the lake alone]",
    key="The key the records were landed with; without it only positions are compared with Kafka.",
)
@backend_option
@format_option
def command(
    lake_path: Path,
    alert_ids: tuple[str, ...],
    sample: int,
    everything: bool,
    seed: int,
    bootstrap_servers: str | None,
    kafka_config: Path | None,
    pseudonym_key: Path | None,
    adapter: str,
    max_future_seconds: int,
    backend: str,
    format_: Format,
) -> int:
    """Prove that every offset is in exactly one landed place and that landed profiles equal their records.

    With --alert: that an alert still follows from its records; else which records are others, in which files, and the way
    out. Exit code 0: no difference. 1: differences, each of them named.
    """
    from pipeline.assembly import engine_for, open_lake
    from pipeline.cli.progress import Steps
    from pipeline.clock import SystemClock
    from pipeline.verification import verify

    clock = SystemClock()
    lake = open_lake(lake_path, clock=clock)
    engine = engine_for(lake, backend)
    if alert_ids:
        return _alerts(lake, engine, alert_ids, format_)
    kafka = None
    if bootstrap_servers is not None:
        kafka = kafka_side(lake, bootstrap_servers, kafka_config, pseudonym_key, adapter, max_future_seconds)
    with Steps("verify") as steps:
        result = verify(
            lake, engine, sample=None if everything else sample, seed=seed, kafka=kafka, report=steps.report
        )
    _print(result, format_)
    return 0 if result.holds else 1


def kafka_side(
    lake: Lake,
    bootstrap_servers: str,
    kafka_config: Path | None,
    pseudonym_key: Path | None,
    adapter: str,
    max_future_seconds: int,
) -> KafkaSide:
    """The Kafka a lake is held against, with a decoder like the worker's.

    Raises
    ------
    UsageError
        The key is not the one the lake was landed with.
    """
    from pipeline.errors import UsageError
    from pipeline.kafka.properties import security_from_file
    from pipeline.records.decode import RecordDecoder
    from pipeline.records.pseudonyms import Pseudonyms
    from pipeline.verification import KafkaSide

    pseudonyms = Pseudonyms.from_file(pseudonym_key) if pseudonym_key else None
    wanted = lake.config.pseudonym_fingerprint
    if pseudonyms is not None and pseudonyms.fingerprint != wanted:
        msg = f"{pseudonym_key} is not the key this lake was landed with; name that one, or none to compare positions only"
        raise UsageError(msg)
    contents = wanted is None or pseudonyms is not None
    if not contents:
        click.echo(
            "note: no --pseudonym-key: positions are compared with Kafka, what records say is not", err=True
        )
    decoder = RecordDecoder(
        lake.config.space,
        pseudonyms=pseudonyms,
        adapter=adapter,  # type: ignore[arg-type]
        max_future_seconds=max_future_seconds,
    )
    return KafkaSide(bootstrap_servers, decoder, security_from_file(kafka_config), contents)


def _print(result: Verification, format_: Format) -> None:
    from dataclasses import asdict

    from pipeline.verification import summary

    rows = summary(result)
    if format_ is Format.TABLE:
        print_mappings(rows, format_)
        if result.findings:
            print_mappings([asdict(f) for f in result.findings], format_, columns=FINDING_COLUMNS, whole=True)
        differences = len(result.errors)
        click.echo(f"{result.lost:,} lost, {result.twice:,} twice, {differences:,} differences")
    else:
        print_mappings(
            [
                *rows,
                *(
                    {
                        "check": f.check,
                        "subject": f.chain,
                        "checked": f.where,
                        "differences": f.severity == "error",
                        "expected": f.expected,
                        "found": f.found,
                    }
                    for f in result.findings
                ),
            ],
            format_,
            columns=("check", "subject", "checked", "differences", "expected", "found"),
        )


def _alerts(lake: Lake, engine: Engine, alert_ids: tuple[str, ...], format_: Format) -> int:
    from pipeline.alerts import find_alert
    from pipeline.cli.derived import derive, subject_of
    from pipeline.cli.progress import reporter
    from pipeline.cli.prose import Prose

    snapshot = lake.snapshot()
    alerts = [find_alert(lake, snapshot, alert_id) for alert_id in dict.fromkeys(alert_ids)]
    with reporter("verify") as advance:
        found = derive(lake, alerts, engine, snapshot, lambda what, done, total: advance(done, total, what))
    if format_ is not Format.TABLE:
        rows = [
            {"alert_id": each.alert.alert_id, "subject": subject_of(each.alert), "difference": reason}
            for each in found
            for reason in each.reasons
        ]
        print_mappings(rows, format_, columns=("alert_id", "subject", "difference"))
    prose = Prose(sys.stdout if format_ is Format.TABLE else sys.stderr)
    for each in found:
        verdict = "no difference" if each.holds else "REFUSED"
        prose.say(
            f"{each.alert.alert_id} ({subject_of(each.alert)}): profile, signals, score and p-value derived again from its "
            f"records: {verdict}"
        )
        if format_ is Format.TABLE:
            for reason in each.reasons:
                prose.say(reason, indent=2, mark="- ")
    return 0 if all(each.holds for each in found) else 1
