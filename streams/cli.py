"""`distillwatch worker`: the streaming deployment on the command line."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.kafka_options import bootstrap_option, topic_option
from streams.settings import DEFAULT_GROUP, WorkerSettings, one_thread_per_product

if TYPE_CHECKING:
    from collections.abc import Mapping

positive = click.IntRange(min=1)


# A container sets options by variables: DISTILLWATCH_LAKE, DISTILLWATCH_BOOTSTRAP_SERVERS, …
@click.command(context_settings={"auto_envvar_prefix": "DISTILLWATCH"})
@click.option(
    "--lake",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the lake; created if it is not there.",
)
@bootstrap_option
@topic_option
@click.option(
    "--group",
    default=DEFAULT_GROUP,
    show_default=True,
    help="Workers of one group share the topic's partitions.",
)
@click.option(
    "--web-port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port of /health and /metrics; 0 takes a free one and prints it.",
)
@click.option("--web-host", default="127.0.0.1", show_default=True, help="Address they listen on.")
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(["numpy", "cupy", "auto"]),
    help="Where profiles are computed.",
)
@click.option(
    "--pseudonym-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key file: accounts, organisations, payments and networks land as pseudonyms.",
)
@click.option(
    "--adapter",
    default="auto",
    show_default=True,
    type=click.Choice(["native", "otel", "litellm", "auto"]),
    help="Format of JSON messages.",
)
@click.option(
    "--segment-records", default=65_536, show_default=True, type=positive, help="Records of a full segment."
)
@click.option(
    "--segment-seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Oldest age of records that are not landed.",
)
@click.option(
    "--roll-up-records",
    default=262_144,
    show_default=True,
    type=positive,
    help="Landed records after which windows are rolled up.",
)
@click.option(
    "--roll-up-seconds",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Oldest age of segments without windows.",
)
@click.option(
    "--max-future-seconds",
    default=3600,
    show_default=True,
    type=click.IntRange(min=0),
    help="How far an event time may lie after the append time.",
)
@click.option(
    "--dead-letter-topic",
    help="Where rejected records are repeated; '' for nowhere.  [default: <topic>-dead-letters]",
)
@click.option(
    "--alert-topic",
    default="distillation-alerts",
    show_default=True,
    help="Where alerts are sent; '' for nowhere.",
)
@click.option(
    "--accept-recreated-topic",
    is_flag=True,
    help="Begin anew although the lake holds records of an earlier topic of this name.",
)
@click.option(
    "--session-seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=6),
    help="After this silence another worker takes over.",
)
@click.option(
    "--check-seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0.5),
    help="How often the topic's identity and the group's members are looked at.",
)
@click.option(
    "--live-scoring/--no-live-scoring",
    default=True,
    show_default=True,
    help="Look at accounts as they grow, and raise alerts.",
)
@click.option(
    "--until-caught-up", is_flag=True, help="Stop once everything is landed that the topic held at the start."
)
def worker(
    dead_letter_topic: str | None, topic: str, alert_topic: str, security: Mapping[str, Any], **options: Any
) -> None:
    """Run the streaming deployment: read the topic, land records and windows in the lake, raise alerts.

    Any number of workers may run; they share the partitions. SIGTERM lands what is held and stops.
    """
    if dead_letter_topic is None:
        dead_letter_topic = f"{topic}-dead-letters"
    settings = WorkerSettings(
        topic=topic,
        security=security,
        dead_letter_topic=dead_letter_topic or None,
        alert_topic=alert_topic or None,
        **options,
    )
    log_to_stderr()
    one_thread_per_product()
    from pipeline.clock import SystemClock
    from streams.domain import open_domain
    from streams.runner import run

    run(settings, open_domain(settings, SystemClock()))


def log_to_stderr() -> None:
    """Plain lines with the time; of Faust and Kafka's clients only what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("streams", "pipeline"):
        logging.getLogger(name).setLevel(logging.INFO)
    # A lost connection is retried and told by `/health`; its every attempt is no news.
    for name in ("aiokafka", "kafka", "faust", "mode"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Faust logs the comings and goings of its services under the modules of their classes.
    logging.getLogger("streams.transport").setLevel(logging.WARNING)
    logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """A new cluster makes the topic of group offsets at the first question, which fails and is asked again."""
    return "GroupCoordinatorNotAvailableError" not in record.getMessage()
