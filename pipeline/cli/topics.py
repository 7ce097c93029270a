"""`distillwatch topics`: create the topics of infra/kafka/topics.toml, or say how a cluster's differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.kafka_options import bootstrap_option
from pipeline.cli.output import Format, format_option, print_mappings
from pipeline.kafka import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@click.group()
def command() -> None:
    """Create and compare Kafka's topics."""


def _figures(function: Callable[..., Any]) -> Callable[..., Any]:
    at_least_one = click.IntRange(min=1)
    function = click.option(
        "--replication", type=at_least_one, help="Replicas, instead of the defined figure."
    )(function)
    return click.option(
        "--partitions", type=at_least_one, help="Partitions of llm-api-logs, instead of the defined figure."
    )(function)


@command.command("apply")
@bootstrap_option
@_figures
@format_option
def apply_(
    bootstrap_servers: str,
    security: Mapping[str, Any],
    partitions: int | None,
    replication: int | None,
    format_: Format,
) -> None:
    """Create the topics that are missing, and leave the others as they are.

    Ends with 1 if a topic that was there already is not as defined; `check` names the differences.
    """
    topics.apply(bootstrap_servers, security, partitions=partitions, replication=replication)
    _print(topics.check(bootstrap_servers, security, partitions=partitions, replication=replication), format_)


@command.command("check")
@bootstrap_option
@_figures
@format_option
def check_(
    bootstrap_servers: str,
    security: Mapping[str, Any],
    partitions: int | None,
    replication: int | None,
    format_: Format,
) -> None:
    """Compare the cluster's topics with the defined ones; end with 1 and name each difference."""
    _print(topics.check(bootstrap_servers, security, partitions=partitions, replication=replication), format_)


def _print(ids: Mapping[str, str], format_: Format) -> None:
    print_mappings([{"topic": name, "topic_id": id_} for name, id_ in ids.items()], format_)
