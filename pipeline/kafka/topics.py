"""The topics of `infra/kafka/topics.toml`: read, created where missing, compared with what is there."""

from __future__ import annotations

import time
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from pipeline.clock import SystemClock
from pipeline.errors import DistillwatchError
from pipeline.kafka.client import KafkaUnavailable, connected, id_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.clock import Clock

LOGS = "llm-api-logs"
ALERTS = "distillation-alerts"
DEAD_LETTERS = "llm-api-logs-dead-letters"

VISIBLE_SECONDS = 30.0
LOOK_SECONDS = 0.1

MISSING = "the topic"

_FIELDS = {"description", "partitions", "replication", "configs"}


class TopicsDiffer(DistillwatchError):
    """The cluster's topics are not the defined ones; the message lists each difference with its way out."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as defined, and what to do about it."""

    topic: str
    what: str
    expected: str
    found: str
    way_out: str

    def __str__(self) -> str:
        if self.what == MISSING:
            return f"topic {self.topic} is missing; {self.way_out}"
        return f"topic {self.topic}: {self.what} is {self.found}, defined is {self.expected}; {self.way_out}"


def defined() -> tuple[Topic, ...]:
    """The topics of `infra/kafka/topics.toml`."""
    file = resources.files("infra") / "kafka" / "topics.toml"
    return parse(file.read_text(encoding="utf-8"))


def parse(text: str, source: str = "infra/kafka/topics.toml") -> tuple[Topic, ...]:
    """Topics from TOML, in the order of the file.

    Raises
    ------
    DistillwatchError
        Naming `source` and the entry that is wrong.
    """
    try:
        tables = tomllib.loads(text).get("topics", {})
    except tomllib.TOMLDecodeError as error:
        msg = f"{source} is not TOML: {error}"
        raise DistillwatchError(msg) from error
    topics = []
    for name, table in tables.items():
        unknown = sorted(set(table) - _FIELDS)
        if unknown:
            msg = f"{source}: topic {name} has an unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}"
            raise DistillwatchError(msg)
        for field in ("partitions", "replication"):
            value = table.get(field)
            if type(value) is not int or value < 1:
                msg = f"{source}: topic {name}: {field} is {value!r}; it must be a whole number from 1"
                raise DistillwatchError(msg)
        configs = {key: _text(value) for key, value in table.get("configs", {}).items()}
        topics.append(
            Topic(name, table["partitions"], table["replication"], configs, table.get("description", ""))
        )
    return tuple(topics)


def apply(
    bootstrap_servers: str,
    security: Mapping[str, Any] | None = None,
    *,
    topics: Sequence[Topic] | None = None,
    partitions: int | None = None,
    replication: int | None = None,
    clock: Clock | None = None,
) -> dict[str, str]:
    """Create the topics that are missing; leave the others as they are. Safe to run by many at once.

    Parameters
    ----------
    bootstrap_servers, security
        The cluster, and how to get in.
    topics
        Instead of the defined ones.
    partitions, replication
        For the topic of logs and for all topics, instead of the defined figures.
    clock
        Measures how long a created topic takes to be served.

    Returns
    -------
    dict
        The id of each topic by its name; see `check` for whether they are as defined.
    """
    from kafka.errors import TopicAlreadyExistsError

    wanted = _adjusted(defined() if topics is None else topics, partitions, replication)
    with connected(bootstrap_servers, security) as client:
        there = set(client.list_topics())
        for topic in wanted:
            if topic.name in there:
                continue
            settings = {
                "num_partitions": topic.partitions,
                "replication_factor": topic.replication,
                "configs": dict(topic.configs),
            }
            try:
                client.create_topics({topic.name: settings}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                # Another one applied at the same moment.
                continue
        return _ids(client, wanted, clock or SystemClock())


def differences(
    bootstrap_servers: str,
    security: Mapping[str, Any] | None = None,
    *,
    topics: Sequence[Topic] | None = None,
    partitions: int | None = None,
    replication: int | None = None,
) -> list[Difference]:
    """Everything in which the cluster's topics are not the defined ones. More settings than defined are fine."""
    wanted = _adjusted(defined() if topics is None else topics, partitions, replication)
    with connected(bootstrap_servers, security) as client:
        return [each for topic in wanted for each in _compare(client, topic)]


def check(
    bootstrap_servers: str,
    security: Mapping[str, Any] | None = None,
    *,
    topics: Sequence[Topic] | None = None,
    partitions: int | None = None,
    replication: int | None = None,
    clock: Clock | None = None,
) -> dict[str, str]:
    """The id of each topic by its name, if all are as defined.

    Raises
    ------
    TopicsDiffer
        Naming every difference and its way out.
    """
    wanted = _adjusted(defined() if topics is None else topics, partitions, replication)
    with connected(bootstrap_servers, security) as client:
        found = [each for topic in wanted for each in _compare(client, topic)]
        if found:
            lines = "\n  - ".join(map(str, found))
            msg = f"{len(found)} difference(s) on {bootstrap_servers}:\n  - {lines}"
            raise TopicsDiffer(msg)
        return _ids(client, wanted, clock or SystemClock())


def _adjusted(topics: Sequence[Topic], partitions: int | None, replication: int | None) -> list[Topic]:
    return [
        Topic(
            topic.name,
            partitions if partitions is not None and topic.name == LOGS else topic.partitions,
            replication if replication is not None else topic.replication,
            topic.configs,
            topic.description,
        )
        for topic in topics
    ]


def _ids(client: Any, topics: Sequence[Topic], clock: Clock) -> dict[str, str]:
    """Ids by name, as soon as the broker asked knows all of them: what another one created spreads in its time."""
    deadline = clock.monotonic() + VISIBLE_SECONDS
    while True:
        found = client.describe_topics([topic.name for topic in topics])
        ids = {each["name"]: id_text(each["topic_id"]) for each in found if _usable(each)}
        unseen = [topic.name for topic in topics if topic.name not in ids]
        if not unseen:
            return ids
        if clock.monotonic() > deadline:
            msg = f"Kafka accepted the topic {unseen[0]} but does not serve it after {VISIBLE_SECONDS:.0f} s; is a broker down?"
            raise KafkaUnavailable(msg)
        time.sleep(LOOK_SECONDS)


def _usable(description: Mapping[str, Any]) -> bool:
    return not description["error_code"] and all(each["leader_id"] >= 0 for each in description["partitions"])


def _compare(client: Any, topic: Topic) -> list[Difference]:
    from kafka.admin import ConfigResource

    found = client.describe_topics([topic.name])[0]
    if found["error_code"]:
        return [Difference(topic.name, MISSING, "present", "missing", "run `distillwatch topics apply`")]
    differences_ = []
    have = len(found["partitions"])
    if have != topic.partitions:
        way_out = (
            "add partitions with kafka-topics --alter --partitions"
            if have < topic.partitions
            else "partitions cannot be taken away: change the definition, or start a new topic"
        )
        differences_.append(Difference(topic.name, "partitions", str(topic.partitions), str(have), way_out))
    replicas = {len(each["replica_nodes"]) for each in found["partitions"]}
    if replicas != {topic.replication}:
        differences_.append(
            Difference(
                topic.name,
                "replication",
                str(topic.replication),
                ", ".join(map(str, sorted(replicas))),
                "reassign the partitions, or give --replication if the cluster has other rules",
            )
        )
    resource = ConfigResource("topic", topic.name, None)
    settings = client.describe_configs([resource], config_filter="all")["topic"][topic.name]
    for key, expected in topic.configs.items():
        value = settings.get(key, {}).get("value")
        if value != expected:
            way_out = f"kafka-configs --alter --topic {topic.name} --add-config {key}={expected}"
            differences_.append(Difference(topic.name, key, expected, str(value), way_out))
    return differences_


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
