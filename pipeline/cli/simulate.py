"""``distillwatch simulate``: labelled traffic to a file or to Kafka."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.clock import SystemClock
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.simulate.records import Traffic
    from pipeline.simulate.sinks import Sink

RECORDS_PER_ACCOUNT = 250


@click.command("simulate", short_help="Send labelled traffic with known attackers to a file or to Kafka.")
@click.option("--records", type=click.IntRange(1), default=100_000, show_default=True, help="Records in all.")
@click.option(
    "--accounts",
    type=click.IntRange(1),
    help=f"Accounts in all; default: one for {RECORDS_PER_ACCOUNT} records.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same records.")
@click.option(
    "--attack-share", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Share of accounts."
)
@click.option(
    "--days", type=click.FloatRange(0.25, 3650), default=7.0, show_default=True, help="Length of the period."
)
@click.option(
    "--end",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    help="End of the period, UTC; default: now.",
)
@click.option(
    "--plain-harvests",
    is_flag=True,
    help="No careful harvests: every harvest by one account is as plain as in the public reports.",
)
@click.option(
    "--randomise",
    is_flag=True,
    help="Let any source of topics play any role, and vary the shares of the kinds.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["jsonl", "jsonl.gz", "parquet"]),
    help="Default: by the file's name.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default: FILE.labels.jsonl beside --out.",
)
@click.option("--bootstrap-servers", help="Kafka instead of a file: host:port, several with commas.")
@click.option("--topic", default="llm-api-logs", show_default=True)
@click.option(
    "--kafka-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Properties file with security settings.",
)
@click.option(
    "--encoding",
    type=click.Choice(["json", "arrow"]),
    default="json",
    show_default=True,
    help="Of Kafka messages.",
)
@click.option(
    "--arrow-rows",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Most records of an Arrow message.",
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Records a second; default: as fast as possible."
)
def command(
    *,
    records: int,
    accounts: int | None,
    seed: int,
    attack_share: float,
    days: float,
    end: datetime | None,
    plain_harvests: bool,
    randomise: bool,
    out: Path | None,
    file_format: str | None,
    labels: Path | None,
    bootstrap_servers: str | None,
    topic: str,
    kafka_config: Path | None,
    encoding: str,
    arrow_rows: int,
    rate: float | None,
) -> None:
    """Generate API logs of benign and attacking accounts, in order of event time.

    Who attacks is written to a separate labels file, never into the records. The last line on standard output
    is a JSON object with what was sent.
    """
    from pipeline.cli.progress import reporter
    from pipeline.simulate.labels import write_labels
    from pipeline.simulate.records import Traffic
    from pipeline.simulate.world import WorldSettings, build_world

    if (out is None) == (bootstrap_servers is None):
        msg = "say where the records go: --out FILE or --bootstrap-servers HOST:PORT, one of them"
        raise UsageError(msg)
    clock = SystemClock()
    settings = WorldSettings(
        records=records,
        accounts=accounts or max(1, min(records, round(records / RECORDS_PER_ACCOUNT))),
        seed=seed,
        attack_share=attack_share,
        days=days,
        randomise=randomise,
        plain_harvests=plain_harvests,
    )
    world = build_world(settings)
    traffic = Traffic(world, end.replace(tzinfo=UTC) if end else clock.now())
    started, sent = clock.monotonic(), 0
    sink = _sink(
        traffic,
        out=out,
        file_format=file_format,
        bootstrap_servers=bootstrap_servers,
        topic=topic,
        kafka_config=kafka_config,
        encoding=encoding,
        arrow_rows=arrow_rows,
        rate=rate,
        clock=clock,
    )
    with reporter("simulate") as advance, sink:
        for table in traffic:
            sink.write(table)
            sent += table.num_rows
            advance(sent, records)
    target = labels or (out.with_name(f"{out.name}.labels.jsonl") if out else None)
    if target is not None:
        write_labels(world.labels, target)
    seconds = clock.monotonic() - started
    click.echo(
        json.dumps(
            {
                "records": sent,
                "accounts": settings.accounts,
                "attacking_accounts": sum(label.attack for label in world.labels),
                "seconds": round(seconds, 3),
                "records_per_second": round(sent / max(seconds, 1e-9)),
                "to": str(out) if out else f"{bootstrap_servers}/{topic}",
                "labels": str(target) if target else None,
            }
        )
    )


def _sink(
    traffic: Traffic,
    *,
    out: Path | None,
    file_format: str | None,
    bootstrap_servers: str | None,
    topic: str,
    kafka_config: Path | None,
    encoding: str,
    arrow_rows: int,
    rate: float | None,
    clock: Clock,
) -> Sink:
    from pipeline.simulate.sinks import FileSink, Pacer, kafka_sink

    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        return FileSink(out, traffic.schema, file_format)
    assert bootstrap_servers is not None
    from pipeline.kafka.properties import security_from_file

    security = security_from_file(kafka_config) if kafka_config else None
    pacer = Pacer(rate, clock, time.sleep) if rate else None
    return kafka_sink(
        bootstrap_servers, topic, security, encoding=encoding, arrow_rows=arrow_rows, pacer=pacer
    )
