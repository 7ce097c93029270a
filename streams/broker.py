"""What Kafka says about the topic: its identity, where its logs begin and end, who of the group owns what.

These answers decide about losses, so they come from an admin client of their own, not from the consumer's
view, which may be of a log that is no longer there. Every call blocks: run it in a thread.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import DistillwatchError, UsageError
from pipeline.kafka import client, topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
REQUEST_MS = 10_000


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic at one moment.

    Attributes
    ----------
    topic, topic_id, cluster_id
        Name, Kafka's id of this very topic (a recreated one has another), and of the cluster.
    starts, ends
        Per partition the first offset the log still has, and the offset after the last that can be read.
    """

    topic: str
    topic_id: str
    cluster_id: str
    starts: Mapping[int, int]
    ends: Mapping[int, int]

    @property
    def partitions(self) -> list[int]:
        """All partitions, ascending."""
        return sorted(self.starts)


class Broker:
    """Asks Kafka; one connection, reopened when it broke. Safe to use from any thread.

    Every question raises `pipeline.kafka.client.KafkaUnavailable` when Kafka does not answer.

    Parameters
    ----------
    bootstrap_servers
        ``host:port``, comma separated.
    security
        kafka-python's security arguments.
    """

    def __init__(self, bootstrap_servers: str, security: Mapping[str, Any] | None = None) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._security = dict(security or {})
        self._opened = contextlib.ExitStack()
        self._client: Any = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._drop()

    def facts(self, topic: str) -> TopicFacts:
        """Identity and extent of a topic.

        Raises
        ------
        TopicMissing
            There is no such topic.
        """
        return self._ask(lambda admin: _facts(admin, topic))

    def owners(self, group: str, topic: str) -> dict[int, str]:
        """Which member of the group owns each partition now; partitions nobody owns are left out."""
        return self._ask(lambda admin: _owners(admin, group, topic))

    def create_missing(self, wanted: Sequence[tuple[str, str]]) -> list[str]:
        """Create those of the topics that are not there; returns their names.

        Parameters
        ----------
        wanted
            Name, and which topic of `infra/kafka/topics.toml` it is like.

        Raises
        ------
        UsageError
            Kafka does not let us.
        """
        from kafka.errors import KafkaError

        models = {topic.name: topic for topic in topics.defined()}
        there = set(self._ask(lambda admin: admin.list_topics()))
        missing = [(name, like) for name, like in wanted if name not in there]
        for name, like in missing:
            try:
                topics.apply(
                    self.bootstrap_servers, self._security, topics=[replace(models[like], name=name)]
                )
            except KafkaError as error:
                msg = (
                    f"there is no topic {name!r} and it cannot be created ({error}); create it with `distillwatch topics apply`, "
                    "or name another with --dead-letter-topic or --alert-topic ('' for none)"
                )
                raise UsageError(msg) from error
        return [name for name, _ in missing]

    def _ask(self, question: Callable[[Any], T]) -> T:
        from kafka.errors import KafkaError

        with self._lock:
            try:
                if self._client is None:
                    self._client = self._opened.enter_context(
                        client.connected(self.bootstrap_servers, self._security)
                    )
                return question(self._client)
            except DistillwatchError:
                raise
            except (KafkaError, OSError, RuntimeError) as error:
                self._drop()
                msg = f"Kafka at {self.bootstrap_servers} does not answer ({type(error).__name__}: {error})"
                raise client.KafkaUnavailable(msg) from error

    def _drop(self) -> None:
        self._client = None
        # It is thrown away because it broke: whatever closing says is no news.
        with contextlib.suppress(Exception):
            self._opened.close()
        self._opened = contextlib.ExitStack()


def _facts(admin: Any, topic: str) -> TopicFacts:
    ranges = client.log_ranges(admin, topic)
    return TopicFacts(
        topic=topic,
        topic_id=client.topic_id(admin, topic),
        cluster_id=client.cluster_id(admin),
        starts={partition: start for partition, (start, _) in ranges.items()},
        ends={partition: end for partition, (_, end) in ranges.items()},
    )


def _owners(admin: Any, group: str, topic: str) -> dict[int, str]:
    described = admin.describe_groups([group])[group]
    owners: dict[int, str] = {}
    for member in described.get("members", ()):
        assignment = member.get("member_assignment") or {}
        for each in assignment.get("assigned_partitions", ()):
            if each["topic"] == topic:
                owners.update(dict.fromkeys(each["partitions"], str(member.get("member_id"))))
    return owners
