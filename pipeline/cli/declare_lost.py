"""``distillwatch declare-lost``: go on after Kafka deleted what was not landed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.kafka_options import bootstrap_option
from pipeline.cli.lake_options import lake_option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


@click.command("declare-lost")
@lake_option
@click.option("--topic", required=True, help="Topic whose records are gone.")
@click.option("--partition", type=click.IntRange(0), required=True, help="Its partition.")
@click.option(
    "--next-offset",
    type=click.IntRange(1),
    required=True,
    help="First offset that Kafka still has; the worker goes on there.",
)
@bootstrap_option
@click.option(
    "--force",
    is_flag=True,
    help="Take an offset that is not where Kafka's log starts; `verify` names what Kafka still has before it.",
)
@click.option("--by", required=True, help="Who takes responsibility; recorded.")
@click.option("--why", required=True, help="What happened; recorded.")
def command(
    lake_path: Path,
    topic: str,
    partition: int,
    next_offset: int,
    bootstrap_servers: str,
    security: Mapping[str, Any],
    force: bool,
    by: str,
    why: str,
) -> None:
    """Record that offsets up to NEXT-OFFSET were lost, so that the worker can go on behind them.

    Kafka is asked whether they are gone. The lake then says so for ever: `verify` reports the range with its reason, and
    `segments` shows it. A worker that stops because of lost records names the offsets.
    """
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.kafka.losses import check_lost
    from pipeline.lake.losses import declare_lost

    lake = open_lake(lake_path, clock=SystemClock())
    topic_id = check_lost(
        lake, bootstrap_servers, topic, partition, next_offset, security=security, force=force
    )
    segment = declare_lost(lake, topic_id, partition, next_offset, by=by, why=why)
    click.echo(
        f"{topic}, partition {partition}: offsets {segment.first_offset} to {segment.last_offset} are declared lost; "
        f"the chain goes on at {segment.next_offset}"
    )
