"""Workers as processes on a real Kafka."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.kafka import client
from pipeline.lake import Lake
from pipeline.records.encode import encode_arrow, encode_json

if TYPE_CHECKING:
    import pyarrow as pa

Stage = Any  # the fixture of conftest.py

pytestmark = pytest.mark.timeout(240)


def committed(stage: Stage) -> dict[int, int]:
    with client.connected(stage.bootstrap) as admin:
        found = admin.list_group_offsets({stage.topic: None})[stage.topic]
    return {tp.partition: each.offset for tp, each in found.items() if tp.topic == stage.topic}


def commit(stage: Stage, offsets: dict[int, int]) -> None:
    from kafka import TopicPartition
    from kafka.structs import OffsetAndMetadata

    wanted = {TopicPartition(stage.topic, p): OffsetAndMetadata(o, "", None) for p, o in offsets.items()}
    with client.connected(stage.bootstrap) as admin:
        admin.alter_group_offsets(stage.topic, wanted)
    assert committed(stage) == offsets


def test_json_and_arrow_land_and_a_second_start_goes_on_where_the_first_stopped(stage: Stage) -> None:
    table = stage.records(2_400)
    stage.send(list(encode_json(table.slice(0, 1_000))))
    batches = [encode_arrow(table.slice(at, 100)) for at in range(1_000, 2_000, 100)]
    stage.send(batches, partition=1)
    stage.run_until_caught_up("--segment-records", "300")
    assert len(stage.request_ids()) == 2_000
    assert committed(stage) == stage.heads() == {p: end for p, (_, end) in stage.ranges().items()}
    # What Kafka thinks is committed means nothing, neither ahead of the chain nor behind it.
    stage.send(list(encode_json(table.slice(2_000, 200))))
    commit(stage, {p: end for p, (_, end) in stage.ranges().items()})
    stage.run_until_caught_up()
    stage.send(list(encode_json(table.slice(2_200, 200))))
    commit(stage, dict.fromkeys(range(stage.partitions), 0))
    log = stage.run_until_caught_up()
    stage.assert_covered(2_400)
    assert "from offset 0" not in log
    snapshot = Lake.open(stage.lake).snapshot()
    assert snapshot.rollup_vector == snapshot.vector


def test_two_workers_share_and_a_killed_one_is_replaced(stage: Stage) -> None:
    stage.send_records(1_000, seed=1)
    first = stage.worker("--segment-records", "150", "--segment-seconds", "1")
    stage.wait_until_landed(500)
    second = stage.worker("--segment-records", "150", "--segment-seconds", "1")
    stage.send_records(1_000, seed=2)
    stage.wait_for(
        "one partition each",
        lambda: first.metric("assigned_partitions") == second.metric("assigned_partitions") == 1,
    )
    stage.wait_until_landed(2_000)
    first.process.process.kill()
    first.process.process.wait()
    stage.send_records(1_000, seed=3)
    stage.wait_for("the takeover", lambda: second.metric("assigned_partitions") == 2)
    stage.wait_until_landed(3_000)
    assert second.process.stop() == 0
    stage.assert_covered(3_000)


def test_sigterm_lands_what_is_held_and_rolls_it_up(stage: Stage) -> None:
    worker = stage.worker()
    before = stage.wait_for("an answer", lambda: worker.health() if worker.health()["status"] else None)
    if "assignment" in before["problems"]:
        assert before["status"] == 503
    healthy = worker.wait_until_healthy()
    assert set(healthy["partitions"]) == {"0", "1"}
    stage.send_records(500)
    stage.wait_for("held records", lambda: worker.metric("held_records") == 500)
    assert stage.landed() == 0
    facts = worker.health()["partitions"]
    assert (
        sum(each["lag"] for each in facts.values())
        == 500
        == sum(each["held_records"] for each in facts.values())
    )
    status, page = worker.get("metrics")
    assert status == 200
    assert "# TYPE distillwatch_records_total counter" in page
    assert worker.metric("records_total") == 500 == worker.metric("lag_records")
    assert worker.process.stop() == 0
    stage.assert_covered(500)
    snapshot = Lake.open(stage.lake).snapshot()
    assert snapshot.rollup_vector == snapshot.vector


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_the_other_signal_and_the_exit_code(stage: Stage, number: signal.Signals) -> None:
    worker = stage.worker()
    worker.wait_until_healthy()
    stage.send_records(50)
    stage.wait_for("held records", lambda: worker.metric("held_records") == 50)
    worker.process.process.send_signal(number)
    assert worker.process.process.wait(60) == 0
    stage.assert_covered(50)


def test_a_recreated_topic_stops_the_running_worker_and_a_new_one_until_it_is_accepted(stage: Stage) -> None:
    stage.send_records(300)
    worker = stage.worker("--segment-seconds", "1", "--check-seconds", "1")
    stage.wait_until_landed(300)
    with client.connected(stage.bootstrap) as admin:
        admin.delete_topics([stage.topic])
        stage.wait_for("the topic to be gone", lambda: stage.topic not in admin.list_topics())
    stage.create_topic()
    stage.send_records(100, seed=2)
    assert worker.process.process.wait(90) == 1
    assert "deleted" in worker.log()
    again = stage.worker()
    assert again.process.process.wait(60) == 1
    assert "recreated" in again.log()
    assert "accept" in again.log()
    stage.run_until_caught_up("--accept-recreated-topic")
    assert len(stage.request_ids()) == 400


def test_a_log_that_begins_after_the_chains_head_stops_the_worker(stage: Stage) -> None:
    from kafka import TopicPartition

    stage.send_records(200, partition=0)
    stage.run_until_caught_up()
    stage.send_records(200, seed=2, partition=0)
    with client.connected(stage.bootstrap) as admin:
        admin.delete_records({TopicPartition(stage.topic, 0): 350})
    worker = stage.worker()
    assert worker.process.process.wait(60) == 1
    assert "200 to 349" in worker.log()
    assert stage.heads()[0] == 200


def test_records_deleted_under_a_running_worker_stop_it(stage: Stage) -> None:
    """Kafka's client resets to the new log start in silence; the join of fetches finds it."""
    from kafka import TopicPartition

    stage.send_records(100, partition=0)
    patch = """
import threading, pathlib
from streams.partition import PartitionWorker
# The worker takes nothing until the records behind are deleted.
go = pathlib.Path(GO)
wants = PartitionWorker.wants.fget
PartitionWorker.wants = property(lambda self: wants(self) and (self.lander.next_offset < 100 or go.exists()))
""".replace("GO", repr(str(stage.folder / "go")), 1)
    worker = stage.scripted_worker(patch, "--segment-seconds", "0.5")
    stage.wait_until_landed(100)
    # More than a fetch holds, so that what follows is not in the client's memory already.
    big = [v[:-1] + b', "note": "' + b"x" * 60_000 + b'"}' for v in encode_json(stage.records(300, 2))]
    stage.send(big, partition=0)
    with client.connected(stage.bootstrap) as admin:
        admin.delete_records({TopicPartition(stage.topic, 0): 390})
    (stage.folder / "go").touch()
    assert worker.process.process.wait(90) == 1
    assert "gone from Kafka" in worker.log()
    heads = stage.heads()
    assert heads[0] < 390


def test_transaction_markers_and_aborted_records_are_gaps_and_no_loss(stage: Stage) -> None:
    from kafka import KafkaProducer

    values = list(encode_json(stage.records(90)))
    producer = KafkaProducer(
        bootstrap_servers=stage.bootstrap, transactional_id=stage.topic, enable_idempotence=True
    )
    producer.init_transactions()
    for part in range(3):
        producer.begin_transaction()
        for value in values[part * 30 : part * 30 + 30]:
            producer.send(stage.topic, value=value, partition=0)
        producer.flush()
        (producer.abort_transaction if part == 1 else producer.commit_transaction)()
    producer.close()
    stage.run_until_caught_up("--segment-records", "20")
    assert stage.ranges()[0] == (0, 93)
    # The last marker is landed as well: its removal must not look like a loss one day.
    stage.assert_covered(60)


def test_slow_landing_keeps_the_memory_flat(stage: Stage) -> None:
    patch = """
import threading
from pipeline.landing import PartitionLander
land = PartitionLander.land
def slow(self):
    threading.Event().wait(1.0)
    return land(self)
PartitionLander.land = slow
"""
    # 180 MB of messages: all of it in memory would show, and so would half.
    padding = b', "note": "' + b"x" * 60_000 + b'"}'
    values = [v[:-1] + padding for v in encode_json(stage.records(3_000))]
    stage.send(values)
    # A stop lands what is held, not what is still in Kafka: everything has to be landed by time before it.
    worker = stage.scripted_worker(patch, "--segment-records", "150", "--segment-seconds", "1")
    stage.wait_until_landed(300)
    readings = []

    def read() -> bool:
        readings.append(worker.metric("resident_memory_bytes"))
        return stage.landed() >= 3_000

    stage.wait_for("the end", read)
    readings = [r for r in readings if r]
    assert max(readings) - readings[0] < 90e6
    assert worker.process.stop() == 0
    stage.assert_covered(3_000)


def test_rejected_records_are_in_the_topic_and_in_the_segment(stage: Stage) -> None:
    good = list(encode_json(stage.records(20)))
    stage.send([b"{broken", *good, None], partition=1)
    stage.run_until_caught_up()
    name = f"{stage.topic}-dead-letters"
    with client.connected(stage.bootstrap) as admin:
        (first, stop) = client.log_ranges(admin, name)[0]
    letters = [r for batch in client.read_range(stage.bootstrap, name, 0, first, stop) for r in batch]
    said: list[dict[str, Any]] = [json.loads(r.value) for r in letters]
    assert [(each["partition"], each["offset"], each["reason"]) for each in said] == [
        (1, 0, "not_json"),
        (1, 21, "null_value"),
    ]
    assert letters[0].key.decode() == f"{stage.topic_id()}/1/0/0"
    snapshot = Lake.open(stage.lake).snapshot()
    assert sum(s.rejected for s in snapshot.segments) == 2


def test_a_missing_topic_and_a_missing_kafka_are_told_with_the_way_out(stage: Stage) -> None:
    process = stage.worker("--topic", "no-such-topic")
    assert process.process.process.wait(60) == 2
    assert "distillwatch topics apply" in process.log()
    away = stage.worker("--bootstrap-servers", "127.0.0.1:1")
    stage.wait_for("the second try", lambda: away.log().count("no Kafka listens at 127.0.0.1:1") >= 2)
    away.process.process.send_signal(signal.SIGTERM)
    assert away.process.process.wait(30) == 0


def test_one_batch_of_each_form_gives_equal_rows(stage: Stage) -> None:
    """The same records as JSON and as one Arrow message: only positions differ."""
    import pyarrow.parquet as pq

    table = stage.records(64)
    stage.send(list(encode_json(table)), partition=0)
    stage.send([encode_arrow(table)], partition=1)
    stage.run_until_caught_up()
    snapshot = Lake.open(stage.lake).snapshot()
    parts: list[pa.Table] = []
    for segment in sorted(snapshot.segments, key=lambda s: s.key):
        rows = pq.read_table(stage.lake / segment.key)
        parts.append(rows.drop_columns(["offset", "row", "partition"]).sort_by("request_id"))
    assert len(parts) == 2
    assert parts[0].to_pylist() == parts[1].to_pylist()
