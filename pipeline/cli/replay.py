"""``distillwatch replay``: the nightly job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.kafka_options import comparison_options
from pipeline.cli.lake_options import backend_option, lake_option
from pipeline.cli.output import Format, format_option, print_mappings

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pipeline.replay import Replayed


@click.command("replay")
@lake_option
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Date (UTC) whose windows are compared and reported; what is absorbed does not depend on it.  [default: all]",
)
@comparison_options(
    "--from-kafka",
    does="Also compute every profile from Kafka's own offsets and hold the lake's against them.",
    key="The key the records were landed with; needed with --from-kafka if there was one.",
)
@click.option("--no-score", is_flag=True, help="Compare and compact only.")
@click.option(
    "--publish-differences",
    is_flag=True,
    help="Publish although landed windows differ from their records; the new run replaces them.",
)
@backend_option
@format_option
def command(
    lake_path: Path,
    day: datetime | None,
    bootstrap_servers: str | None,
    kafka_config: Path | None,
    pseudonym_key: Path | None,
    adapter: str,
    max_future_seconds: int,
    no_score: bool,
    publish_differences: bool,
    backend: str,
    format_: Format,
) -> None:
    """Recompute what was landed live, compare byte for byte, compact, score again, and publish all at once.

    Idempotent: with nothing new it publishes nothing. Resumable: started again after a crash it goes on with the dates
    that are missing. Exit code 1: something differs; it is named, and nothing was published.
    """
    from pipeline.assembly import engine_for, open_lake
    from pipeline.cli.progress import Steps
    from pipeline.cli.verify import kafka_side
    from pipeline.clock import SystemClock
    from pipeline.errors import UsageError
    from pipeline.replay import replay

    clock = SystemClock()
    lake = open_lake(lake_path, clock=clock)
    kafka = None
    if bootstrap_servers is not None:
        kafka = kafka_side(lake, bootstrap_servers, kafka_config, pseudonym_key, adapter, max_future_seconds)
        if not kafka.contents:
            msg = "profiles cannot be computed from Kafka without the lake's pseudonym key; name it with --pseudonym-key"
            raise UsageError(msg)
    with Steps("replay") as steps:
        done = replay(
            lake,
            engine_for(lake, backend),
            clock=clock,
            day=None if day is None else day.date(),
            kafka=kafka,
            score=not no_score,
            publish_differences=publish_differences,
            report=steps.report,
        )
    print_mappings(rows(done), format_, columns=("step", "result"))


def rows(done: Replayed) -> list[dict[str, str]]:
    """What a replay did, step by step."""
    differences = len(done.recomputed.differences)
    of_date = "all dates" if done.date is None else str(done.date)
    found = [
        (
            "compare",
            f"{of_date}: {done.recomputed.windows:,} landed windows recomputed from records, {differences:,} differences",
        ),
    ]
    if done.from_kafka is not None:
        found.append(("kafka", f"{done.from_kafka:,} profiles computed from Kafka's offsets, 0 differences"))
    if done.run_id is None:
        found.append(("compact", "nothing landed since the last run"))
    else:
        resumed = f", {len(done.resumed)} of them finished by an earlier attempt" if done.resumed else ""
        found.append(
            (
                "compact",
                f"run {done.run_id}: {done.segments:,} segments into {len(done.dates)} dates{resumed}",
            )
        )
    found.append(("profiles", f"{'replaced' if differences else 'unchanged'}: {done.digest}"))
    if done.scored is not None:
        found.append(("score", f"{done.scored.accounts:,} accounts, {len(done.scored.alerts):,} alerts"))
        found.append(
            (
                "alerts",
                f"{len(done.both):,} raised live and by this replay, {len(done.live_only):,} live only, {len(done.replay_only):,} by this replay only",
            )
        )
    found.append(
        (
            "publish",
            f"manifest {done.manifest}" if done.published else f"nothing new; manifest {done.manifest} stays",
        )
    )
    if done.swept:
        found.append(("sweep", f"{done.swept:,} files that nobody reads any more"))
    return [{"step": step, "result": result} for step, result in found]
