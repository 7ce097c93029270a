import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pipeline.cli.main import run
from pipeline.errors import DistillwatchError
from pipeline.kafka import client, topics
from pipeline.kafka.topics import Topic, TopicsDiffer


@pytest.fixture
def wanted():
    """The defined topics under names of this test alone."""
    suffix = uuid.uuid4().hex[:8]
    return [replace(topic, name=f"{topic.name}-{suffix}") for topic in topics.defined()]


def test_the_defined_topics_are_the_ones_the_code_names():
    assert {topic.name for topic in topics.defined()} == {topics.LOGS, topics.ALERTS, topics.DEAD_LETTERS}


def test_append_time_is_the_brokers_and_nothing_is_compacted_away():
    for topic in topics.defined():
        assert topic.configs["message.timestamp.type"] == "LogAppendTime"
        assert topic.configs["cleanup.policy"] == "delete"
        assert topic.description


def test_the_largest_message_fits_its_topics():
    sizes = {topic.name: int(topic.configs["max.message.bytes"]) for topic in topics.defined()}
    assert sizes[topics.LOGS] == client.LARGEST_MESSAGE
    # A rejected one is repeated in base64, inside an envelope.
    assert sizes[topics.DEAD_LETTERS] > sizes[topics.LOGS] * 4 / 3 + 65_536


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[topics.a]\npartitions = 0\nreplication = 1", "partitions is 0"),
        ("[topics.a]\npartitions = true\nreplication = 1", "partitions is True"),
        ("[topics.a]\npartitions = 1", "replication is None"),
        ("[topics.a]\npartitions = 1\nreplication = 1\nretention = 5", "unknown field 'retention'"),
        ("[topics", "is not TOML"),
    ],
)
def test_a_wrong_definition_names_file_topic_and_field(text, words):
    with pytest.raises(DistillwatchError, match=r"some\.toml") as caught:
        topics.parse(text, "some.toml")
    assert words in caught.value.message


def test_what_is_missing_is_created_once_and_then_checks(kafka, wanted):
    address = kafka.bootstrap_servers
    assert [str(each) for each in topics.differences(address, topics=wanted)] == [
        f"topic {topic.name} is missing; run `distillwatch topics apply`" for topic in wanted
    ]
    ids = topics.apply(address, topics=wanted)
    assert topics.apply(address, topics=wanted) == ids
    assert topics.check(address, topics=wanted) == ids
    with client.connected(address) as admin:
        assert ids == {topic.name: client.topic_id(admin, topic.name) for topic in wanted}


def test_many_may_apply_at_the_same_time(kafka, wanted):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: topics.apply(kafka.bootstrap_servers, topics=wanted), range(4)))
    assert all(each.keys() == {topic.name for topic in wanted} for each in found)
    assert topics.check(kafka.bootstrap_servers, topics=wanted) == found[0]


def test_each_difference_is_named_with_its_way_out(kafka):
    address = kafka.bootstrap_servers
    there = Topic(
        f"drift-{uuid.uuid4().hex[:8]}", 2, 1, {"retention.ms": "1000", "max.message.bytes": "2000"}
    )
    topics.apply(address, topics=[there])
    more = replace(
        there, partitions=3, replication=2, configs={"retention.ms": "5000", "max.message.bytes": "2000"}
    )
    with pytest.raises(TopicsDiffer) as caught:
        topics.check(address, topics=[more])
    said = caught.value.message
    assert "3 difference(s)" in said
    assert f"topic {there.name}: partitions is 2, defined is 3; add partitions" in said
    assert "replication is 1, defined is 2" in said
    assert f"--topic {there.name} --add-config retention.ms=5000" in said
    assert "max.message.bytes is" not in said
    fewer = [replace(there, partitions=1)]
    assert "cannot be taken away" in str(topics.differences(address, topics=fewer)[0])


def test_settings_that_nobody_defined_are_fine(kafka):
    topic = Topic(f"more-{uuid.uuid4().hex[:8]}", 1, 1, {"retention.ms": "1000", "max.message.bytes": "2000"})
    topics.apply(kafka.bootstrap_servers, topics=[topic])
    assert (
        topics.differences(kafka.bootstrap_servers, topics=[replace(topic, configs={"retention.ms": "1000"})])
        == []
    )


def test_the_command_applies_and_checks(kafka, capsys):
    address = ["--bootstrap-servers", kafka.bootstrap_servers]
    assert run(["topics", "apply", *address, "--format", "json"]) == 0
    applied = json.loads(capsys.readouterr().out)
    assert [row["topic"] for row in applied] == [topic.name for topic in topics.defined()]
    assert run(["topics", "check", *address, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == applied
    assert run(["topics", "check", *address, "--replication", "3"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "replication is 1, defined is 3" in captured.err
