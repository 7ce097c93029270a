"""kafka-python clients with our defaults, and the few questions we ask a cluster.

`security` is everywhere what `pipeline.kafka.properties.security_from_file` returns. kafka-python is
imported when a client is made: most commands need none.
"""

from __future__ import annotations

import base64
import socket
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.errors import DistillwatchError, LostRecords, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLIENT_ID = "distillwatch"
LARGEST_MESSAGE = 8 << 20
"""Largest message we send or fetch: `max.message.bytes` of the topic llm-api-logs."""

READ_SECONDS = 30.0
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0


class KafkaUnavailable(DistillwatchError):
    """No broker answers under the address that was given."""


class TopicMissing(UsageError):
    """A topic of this name does not exist."""


def admin(bootstrap_servers: str, security: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """A `kafka.KafkaAdminClient`; the caller closes it. Raises kafka-python's own errors."""
    from kafka import KafkaAdminClient

    return KafkaAdminClient(**_settings(bootstrap_servers, security, settings))


def producer(bootstrap_servers: str, security: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """A `kafka.KafkaProducer` that loses and doubles nothing and batches well; the caller closes it."""
    from kafka import KafkaProducer

    defaults = {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 20,
        "batch_size": 256 << 10,
        "max_request_size": LARGEST_MESSAGE,
        "allow_auto_create_topics": False,
    }
    return KafkaProducer(**_settings(bootstrap_servers, security, defaults | settings))


def consumer(bootstrap_servers: str, security: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """A `kafka.KafkaConsumer` without a group that commits nothing: the lake knows what was read."""
    from kafka import KafkaConsumer

    defaults = {
        "group_id": None,
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        # A position that is no longer there must be an error, never a silent jump.
        "auto_offset_reset": "none",
        "max_partition_fetch_bytes": LARGEST_MESSAGE,
        "max_poll_records": 20_000,
        "isolation_level": "read_committed",
    }
    return KafkaConsumer(**_settings(bootstrap_servers, security, defaults | settings))


@contextmanager
def connected(
    bootstrap_servers: str,
    security: Mapping[str, Any] | None = None,
    *,
    answer_seconds: float = ANSWER_SECONDS,
) -> Iterator[Any]:
    """An admin client for the length of a `with` block.

    Raises
    ------
    KafkaUnavailable
        When nobody answers, with the address and the way out.
    """
    from kafka.errors import RetriableError

    _reachable(bootstrap_servers)
    try:
        client = admin(bootstrap_servers, security, bootstrap_timeout_ms=int(answer_seconds * 1000))
    except (RetriableError, OSError) as error:
        msg = (
            f"something listens at {bootstrap_servers} but does not answer as Kafka does ({error}); "
            "is it another port's protocol, or does it ask for TLS or a login that the properties file does not name?"
        )
        raise KafkaUnavailable(msg) from error
    try:
        yield client
    finally:
        client.close()


def id_text(topic_id: uuid.UUID | str) -> str:
    """A topic's id as Kafka's own tools print it: 22 characters of URL-safe base64."""
    value = topic_id if isinstance(topic_id, uuid.UUID) else uuid.UUID(topic_id)
    return base64.urlsafe_b64encode(value.bytes).decode("ascii").rstrip("=")


def describe(client: Any, topic: str) -> dict[str, Any]:
    """kafka-python's description of one topic.

    Raises
    ------
    TopicMissing
        When there is none of this name.
    """
    from kafka.errors import UnknownTopicOrPartitionError, for_code

    found: dict[str, Any] = client.describe_topics([topic])[0]
    if found["error_code"] == UnknownTopicOrPartitionError.errno:
        msg = f"there is no topic {topic!r}; create it with `distillwatch topics apply`, or name another with --topic"
        raise TopicMissing(msg)
    if found["error_code"]:
        raise for_code(found["error_code"])(topic)
    return found


def topic_id(client: Any, topic: str) -> str:
    """The id of this very topic; a topic that is deleted and made again has another."""
    return id_text(describe(client, topic)["topic_id"])


def partitions(client: Any, topic: str) -> list[int]:
    """Numbers of a topic's partitions, ascending."""
    return sorted(each["partition_index"] for each in describe(client, topic)["partitions"])


def cluster_id(client: Any) -> str:
    """The id that Kafka gave the cluster when it was formatted."""
    return str(client.describe_cluster()["cluster_id"])


def log_ranges(client: Any, topic: str, *, committed: bool = True) -> dict[int, tuple[int, int]]:
    """Per partition: first offset that is still there, and the one after the last (half open).

    `committed` ends at the last stable offset: records of an open transaction do not count yet.
    """
    from kafka import IsolationLevel, OffsetSpec, TopicPartition

    asked = [TopicPartition(topic, each) for each in partitions(client, topic)]
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    starts = client.list_partition_offsets(dict.fromkeys(asked, OffsetSpec.EARLIEST))
    ends = client.list_partition_offsets(dict.fromkeys(asked, OffsetSpec.LATEST), isolation_level=level)
    return {each.partition: (starts[each].offset, ends[each].offset) for each in asked}


def read_range(
    bootstrap_servers: str,
    topic: str,
    partition: int,
    first: int,
    stop: int,
    *,
    security: Mapping[str, Any] | None = None,
    quiet_seconds: float = READ_SECONDS,
    **settings: Any,
) -> Iterator[list[Any]]:
    """Records with ``first <= offset < stop`` of one partition, in fetches, in order of offsets.

    Offsets that hold no record (markers of transactions) are passed over. Ends when the position has
    reached `stop`, so no record below it can be missing.

    Raises
    ------
    LostRecords
        When the log no longer reaches back to `first`.
    KafkaUnavailable
        When nothing comes for `quiet_seconds` although the range is not finished.
    """
    from kafka import TopicPartition
    from kafka.errors import OffsetOutOfRangeError

    if first >= stop:
        return
    place = TopicPartition(topic, partition)
    client = consumer(bootstrap_servers, security, **settings)
    try:
        client.assign([place])
        start = client.beginning_offsets([place])[place]
        if start > first:
            msg = f"topic {topic}, partition {partition}: offsets {first} to {start - 1} are no longer in Kafka; its log starts at {start}"
            raise LostRecords(msg)
        client.seek(place, first)
        position = first
        while position < stop:
            try:
                fetched = client.poll(timeout_ms=int(quiet_seconds * 1000)).get(place, [])
            except OffsetOutOfRangeError as error:
                msg = f"topic {topic}, partition {partition}: offset {position} left Kafka while it was being read (its retention is too short), or was never there"
                raise LostRecords(msg) from error
            after = client.position(place)
            if after == position and not fetched:
                msg = f"topic {topic}, partition {partition}: nothing came from {bootstrap_servers} for {quiet_seconds:.0f} s at offset {position}, {stop - position} before the end"
                raise KafkaUnavailable(msg)
            position = after
            wanted = (
                fetched
                if not fetched or fetched[-1].offset < stop
                else [r for r in fetched if r.offset < stop]
            )
            if wanted:
                yield wanted
    finally:
        client.close()


def _servers(bootstrap_servers: str) -> list[tuple[str, int]]:
    """Hosts and ports of ``host:port,host:port``."""
    found = []
    for each in filter(None, (part.strip() for part in bootstrap_servers.split(","))):
        host, colon, port = each.rpartition(":")
        if not (colon and host and port.isdecimal() and 0 < int(port) < 65_536):
            msg = f"{each!r} is no address of a Kafka broker; write host:port, several with commas"
            raise UsageError(msg)
        found.append((host.strip("[]"), int(port)))
    if not found:
        msg = "no Kafka broker is named; write host:port, several with commas"
        raise UsageError(msg)
    return found


def _reachable(bootstrap_servers: str) -> None:
    """Say at once that nobody listens: kafka-python would try for half a minute."""
    reasons = []
    for host, port in _servers(bootstrap_servers):
        try:
            socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            reasons.append(f"{host}:{port}: {error.strerror or error}")
        else:
            return
    msg = f"no Kafka listens at {bootstrap_servers} ({'; '.join(reasons)}); start it, or name another with --bootstrap-servers"
    raise KafkaUnavailable(msg)


def _settings(
    bootstrap_servers: str, security: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    servers = [
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in _servers(bootstrap_servers)
    ]
    return {"bootstrap_servers": servers, "client_id": CLIENT_ID, **(security or {}), **settings}
