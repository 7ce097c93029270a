"""One partition's worker on a real lake: joining, failing, back-pressure. Kafka's answers are made up."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stream_bench import FACTS, NOW, PLACE, TOPIC, Bench

from pipeline import metrics as m
from pipeline.errors import ForeignTopic, LostRecords
from pipeline.kafka.client import KafkaUnavailable
from pipeline.metrics import Metrics
from streams.batches import FetchedBatch
from streams.deployment import Deployment


def test_batches_become_segments_and_the_head_moves_only_then(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 30)
        assert (bench.worker.lander.head, bench.worker.lander.held_records) == (0, 30)
        await bench.feed(30, 45)
        await bench.until(lambda: bench.worker.lander.head == 45)
        assert bench.lake.head(FACTS.topic_id, 0) == 45
        assert bench.metrics.total(m.SEGMENTS) == 1

    play(scene)


def test_a_segment_is_landed_by_age(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 10)
        bench.worker.tick()
        await bench.until(lambda: bench.worker.wants)
        assert bench.worker.lander.head == 0
        bench.clock.advance(61)
        bench.worker.tick()
        await bench.until(lambda: bench.worker.lander.head == 10)
        bench.clock.advance(301)
        bench.worker.tick()
        await bench.until(lambda: bench.lake.rollup_head(FACTS.topic_id, 0) == 10)

    play(scene)


def test_a_batch_fetched_before_the_seek_is_ignored(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 10)
        bench.worker.offer(bench.batch(10, 20, epoch=7))
        assert bench.metrics.total(m.LATE_FETCHES) == 1
        await bench.feed(10, 15)
        assert bench.worker.lander.next_offset == 15
        assert bench.seeks == []

    play(scene)


@pytest.mark.parametrize("first", [5, 25])
def test_a_batch_that_does_not_join_sends_the_partition_back_to_its_head(play: Any, first: int) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 10)
        bench.worker.offer(bench.batch(first, first + 20))
        await bench.until(lambda: bench.seeks)
        assert bench.seeks == [{PLACE: 0}]
        assert bench.worker.lander.held_records == 0
        # What was fetched before the seek took effect is not taken any more.
        bench.worker.offer(bench.batch(0, 10, epoch=1))
        await bench.until(lambda: bench.metrics.total(m.LATE_FETCHES) == 1)
        await bench.feed(0, 60)
        await bench.until(lambda: bench.lake.head(FACTS.topic_id, 0) == 60)
        assert bench.errors == []

    play(scene)


def test_whoever_loses_the_put_drops_its_work_and_goes_on_from_the_head(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 30)
        bench.other_writer(20)
        bench.worker.offer(bench.batch(30, 50))
        await bench.until(lambda: bench.seeks)
        assert bench.seeks == [{PLACE: 20}]
        assert bench.metrics.total(m.CHAIN_MOVES) == 1
        await bench.feed(20, 70)
        await bench.until(lambda: bench.lake.head(FACTS.topic_id, 0) == 70)
        snapshot = bench.lake.snapshot()
        assert [(s.first_offset, s.last_offset) for s in snapshot.segments] == [(0, 19), (20, 69)]

    play(scene)


def test_a_log_that_begins_after_the_head_stops_the_worker_with_what_is_lost(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 10)
        bench.broker.now = replace(FACTS, starts={0: 50})
        # The consumer was silently reset to the log's start: its position jumped.
        bench.worker.offer(bench.batch(10, 10, jumped=True))
        await bench.until(lambda: bench.errors)
        assert isinstance(bench.errors[0], LostRecords)
        assert "10" in str(bench.errors[0])
        assert "49" in str(bench.errors[0])
        assert bench.lake.head(FACTS.topic_id, 0) == 0

    play(scene)


def test_offsets_that_hold_no_records_are_no_loss(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 10)
        await bench.feed(20, 60, first_offset=10)
        await bench.until(lambda: bench.worker.lander.head == 60)
        assert bench.errors == []
        assert bench.lake.snapshot().segments[0].records == 50

    play(scene)


@pytest.mark.parametrize("other", ["another", None])
def test_a_recreated_topic_is_refused_before_anything_more_is_landed(play: Any, other: str | None) -> None:
    async def scene(bench: Bench) -> None:
        from pipeline.kafka.client import TopicMissing

        await bench.feed(0, 30)
        bench.broker.now = replace(FACTS, topic_id=other) if other else TopicMissing("gone")
        bench.worker.offer(bench.batch(30, 50))
        await bench.until(lambda: bench.errors)
        assert isinstance(bench.errors[0], ForeignTopic)
        assert bench.lake.head(FACTS.topic_id, 0) == 0

    play(scene)


def test_what_is_held_is_landed_although_kafka_is_away(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 30)
        bench.broker.now = KafkaUnavailable("away")
        await bench.worker.stop(land=True, roll_up=True, seconds=10)
        assert bench.lake.head(FACTS.topic_id, 0) == 30
        assert bench.lake.rollup_head(FACTS.topic_id, 0) == 30

    play(scene)


def test_a_full_disk_is_waited_out_and_told(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.landing import PartitionLander

    works = threading.Event()
    land = PartitionLander.land

    def failing(self: PartitionLander) -> Any:
        if not works.is_set():
            raise OSError(28, "No space left on device")
        return land(self)

    monkeypatch.setattr(PartitionLander, "land", failing)

    async def scene(bench: Bench) -> None:
        bench.worker.offer(bench.batch(0, 50))
        await bench.until(lambda: bench.worker.failing)
        assert "No space left" in str(bench.worker.failing)
        bench.worker.offer(bench.batch(50, 60))
        assert not bench.worker.wants
        works.set()
        await bench.until(lambda: bench.worker.lander.head == 50)
        assert bench.worker.failing is None
        assert bench.metrics.total(m.LANDING_FAILURES) >= 1

    play(scene)


def test_slow_landing_stops_the_fetching_of_this_partition(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.landing import PartitionLander

    go_on = threading.Event()
    land = PartitionLander.land

    def slow(self: PartitionLander) -> Any:
        go_on.wait(20)
        return land(self)

    monkeypatch.setattr(PartitionLander, "land", slow)

    async def scene(bench: Bench) -> None:
        bench.worker.offer(bench.batch(0, 50))
        await bench.until(lambda: bench.worker.wants)
        bench.worker.offer(bench.batch(50, 60))
        for _ in range(10):
            await asyncio.sleep(0)
            # One batch is worked on, one waits: no third one is asked for.
            assert not bench.worker.wants
        go_on.set()
        await bench.until(lambda: bench.worker.lander.next_offset == 60)

    play(scene)


def test_rejected_records_reach_the_topic_before_they_can_be_landed(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        bad = [b"{", *bench.values[1:10]]
        await bench.feed(0, 10, values=bad)
        assert [key for key, _ in bench.sent] == [b"topicid/0/0/0"]
        assert bench.metrics.total(m.DEAD_LETTERS) == 1
        # Counted once the lander has them, which is told first.
        await bench.until(lambda: bench.metrics.value(m.REJECTED, TOPIC, 0, "not_json") == 1)
        assert bench.worker.lander.head == 0

    play(scene)


def test_the_deployment_hands_batches_of_other_partitions_to_nobody() -> None:
    async def scene() -> None:
        metrics = Metrics()
        deployment = Deployment.__new__(Deployment)
        deployment.workers = {}
        deployment._services = type("S", (), {"metrics": metrics})()
        deployment.offer(FetchedBatch(TOPIC, 3, 1, 0, 1, np.array([0]), np.array([0]), [b""], 0, 1))
        assert metrics.value(m.LATE_FETCHES, TOPIC, 3) == 1
        assert deployment.head(PLACE) is None

    asyncio.run(scene())


MICROSECONDS = int(NOW.timestamp()) * 10**6


@pytest.mark.parametrize("stamp", [MICROSECONDS, MICROSECONDS * 1000, 2**63 - 1, -1, -(2**63)])
def test_append_times_that_are_no_milliseconds_are_landed_and_not_believed(play: Any, stamp: int) -> None:
    async def scene(bench: Bench) -> None:
        times = np.full(50, stamp, np.int64)
        times[7] = MICROSECONDS // 1000
        bench.worker.offer(bench.batch(0, 50, timestamps=times))
        await bench.until(lambda: bench.errors or bench.worker.lander.head == 50)
        assert bench.errors == []
        (segment,) = bench.lake.snapshot().segments
        assert segment.records == 50
        assert str(segment.last_append_time).startswith(NOW.isoformat()[:19])

    play(scene)
