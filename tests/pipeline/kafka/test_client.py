import uuid

import pytest

from pipeline.errors import LostRecords, UsageError
from pipeline.kafka import client


@pytest.fixture
def topic(kafka):
    """A new topic of two partitions: its name."""
    name = f"client-{uuid.uuid4().hex[:8]}"
    with client.connected(kafka.bootstrap_servers) as admin:
        settings = {"num_partitions": 2, "replication_factor": 1, "configs": {"max.message.bytes": "8388608"}}
        admin.create_topics({name: settings}, wait_for_metadata=True)
    return name


def offsets(fetches):
    return [record.offset for fetch in fetches for record in fetch]


@pytest.mark.parametrize("address", ["", ",", "host", "host:", ":9092", "host:port", "host:0", "host:70000"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UsageError, match="host:port"), client.connected(address):
        pass


def test_ids_are_written_as_kafkas_tools_write_them():
    # `kafka-topics --describe` shows this topic id for this UUID (its bytes in URL-safe base64).
    assert client.id_text("543b384a-455c-4d21-a136-f072487a8759") == "VDs4SkVcTSGhNvBySHqHWQ"
    assert client.id_text(uuid.UUID(int=0)) == "A" * 22


def test_a_topic_that_is_not_there_is_an_error_and_is_not_created(kafka):
    from kafka.errors import KafkaError

    with client.connected(kafka.bootstrap_servers) as admin:
        with pytest.raises(client.TopicMissing, match="distillwatch topics apply"):
            client.partitions(admin, "never-made")
        # Not even for a client that would like it to be.
        eager = client.producer(kafka.bootstrap_servers, allow_auto_create_topics=True, max_block_ms=1_500)
        with pytest.raises(KafkaError):
            eager.send("never-made", b"x").get(timeout=5)
        eager.close()
        assert "never-made" not in admin.list_topics()


def test_a_topic_made_again_has_another_id(kafka, topic):
    with client.connected(kafka.bootstrap_servers) as admin:
        first = client.topic_id(admin, topic)
        assert client.topic_id(admin, topic) == first
        other = f"{topic}-2"
        admin.create_topics([other], wait_for_metadata=True)
        assert client.topic_id(admin, other) != first


def test_ranges_are_read_exactly(kafka, topic):
    address = kafka.bootstrap_servers
    producer = client.producer(address)
    for number in range(1000):
        producer.send(topic, str(number).encode(), partition=1)
    producer.flush()
    producer.close()
    with client.connected(address) as admin:
        assert client.partitions(admin, topic) == [0, 1]
        assert client.log_ranges(admin, topic) == {0: (0, 0), 1: (0, 1000)}
    for first, stop in [(0, 1000), (10, 333), (999, 1000), (0, 1), (5, 5)]:
        got = [
            record
            for fetch in client.read_range(address, topic, 1, first, stop, max_poll_records=100)
            for record in fetch
        ]
        assert [record.offset for record in got] == list(range(first, stop))
        assert [record.value for record in got] == [str(number).encode() for number in range(first, stop)]


def test_the_largest_message_passes(kafka, topic):
    address = kafka.bootstrap_servers
    producer = client.producer(address)
    large = bytes(8_000_000)
    producer.send(topic, large, partition=0).get(timeout=30)
    producer.close()
    assert [record.value for fetch in client.read_range(address, topic, 0, 0, 1) for record in fetch] == [
        large
    ]


def test_offsets_without_a_record_are_passed_over(kafka, topic):
    address = kafka.bootstrap_servers
    producer = client.producer(address, transactional_id=topic)
    producer.init_transactions()
    for number in range(3):
        producer.begin_transaction()
        producer.send(topic, str(number).encode(), partition=0).get(timeout=30)
        # The second one never happened for readers, but its offset is used up.
        producer.abort_transaction() if number == 1 else producer.commit_transaction()
    producer.close()
    with client.connected(address) as admin:
        assert client.log_ranges(admin, topic)[0] == (0, 6)
    assert offsets(client.read_range(address, topic, 0, 0, 6)) == [0, 4]


def test_records_that_left_the_log_are_not_passed_over(kafka, topic):
    from kafka import TopicPartition

    address = kafka.bootstrap_servers
    producer = client.producer(address)
    for _ in range(10):
        producer.send(topic, b"x", partition=0)
    producer.flush()
    producer.close()
    with client.connected(address) as admin:
        admin.delete_records({TopicPartition(topic, 0): 4})
        assert client.log_ranges(admin, topic)[0] == (4, 10)
    with pytest.raises(LostRecords, match="offsets 2 to 3 are no longer in Kafka; its log starts at 4"):
        offsets(client.read_range(address, topic, 0, 2, 10))
    assert offsets(client.read_range(address, topic, 0, 4, 10)) == list(range(4, 10))


def test_an_end_that_does_not_come_is_an_error(kafka, topic):
    with pytest.raises(client.KafkaUnavailable, match="nothing came"):
        offsets(client.read_range(kafka.bootstrap_servers, topic, 0, 0, 5, quiet_seconds=0.5))
