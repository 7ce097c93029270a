"""The options by which every command names a Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

DEFAULT_BOOTSTRAP_SERVERS = "127.0.0.1:9092"
DEFAULT_TOPIC = "llm-api-logs"


def bootstrap_option(function: F) -> F:
    """Add `--bootstrap-servers` and `--kafka-config`; they arrive as `bootstrap_servers` and `security`."""
    file = click.option(
        "--kafka-config",
        "security",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=_security,
        help="Properties file with security.protocol, sasl.* and ssl.* settings.",
    )
    servers = click.option(
        "--bootstrap-servers",
        default=DEFAULT_BOOTSTRAP_SERVERS,
        show_default=True,
        metavar="HOST:PORT,…",
        help="Brokers to ask first.",
    )
    return servers(file(function))


def topic_option(function: F) -> F:
    """Add `--topic`."""
    return click.option("--topic", default=DEFAULT_TOPIC, show_default=True, help="Topic of the API logs.")(
        function
    )


def comparison_options(servers: str, *, does: str, key: str) -> Callable[[F], F]:
    """Add the options of a command that may hold a lake against a Kafka.

    They arrive as the arguments of `pipeline.cli.verify.kafka_side`; without the first one no Kafka is asked.

    Parameters
    ----------
    servers
        The option that names the brokers; it arrives as ``bootstrap_servers``.
    does
        What `--help` says that it does.
    key
        What `--help` says of ``--pseudonym-key``.
    """
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    options = (
        click.option(servers, "bootstrap_servers", metavar="HOST:PORT,…", help=does),
        click.option(
            "--kafka-config",
            type=file,
            help="Properties file with security.protocol, sasl.* and ssl.* settings.",
        ),
        click.option("--pseudonym-key", type=file, help=key),
        click.option(
            "--adapter",
            type=click.Choice(["auto", "native", "otel", "litellm"]),
            default="auto",
            show_default=True,
            help="Format of JSON messages, as the worker's.",
        ),
        click.option(
            "--max-future-seconds",
            type=click.IntRange(0),
            default=3600,
            show_default=True,
            help="Bound on event times, as the worker's.",
        ),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _security(_context: click.Context, _option: click.Parameter, path: Path | None) -> Mapping[str, Any]:
    from pipeline.kafka.properties import security_from_file

    return security_from_file(path)
