"""``distillwatch declare-lost``: go on after Kafka deleted what was not landed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import lake_option

if TYPE_CHECKING:
    from pathlib import Path


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
@click.option("--by", required=True, help="Who takes responsibility; recorded.")
@click.option("--why", required=True, help="What happened; recorded.")
def command(lake_path: Path, topic: str, partition: int, next_offset: int, by: str, why: str) -> None:
    """Record that offsets up to NEXT-OFFSET were lost, so that the worker can go on behind them.

    The lake then says so for ever: `verify` reports the range with its reason, and `segments` shows it. A worker that
    stops because of lost records names the offsets.
    """
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.errors import UsageError
    from pipeline.lake.losses import declare_lost

    lake = open_lake(lake_path, clock=SystemClock())
    ids = lake.topic_ids(topic)
    if not ids:
        msg = f"{lake_path} holds nothing of a topic {topic!r}; the view `segments` lists what it holds"
        raise UsageError(msg)
    # The newest: a topic that was recreated has landed under several ids, and only its last one can still grow.
    segment = declare_lost(lake, ids[-1], partition, next_offset, by=by, why=why)
    click.echo(
        f"{topic}, partition {partition}: offsets {segment.first_offset} to {segment.last_offset} are declared lost; "
        f"the chain goes on at {segment.next_offset}"
    )
