"""One partition's worker on a real lake: joining, losing, failing, back-pressure. Kafka's answers are made up."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from faust.types import TP

from pipeline import metrics as m
from pipeline.clock import ManualClock
from pipeline.engine import Engine
from pipeline.errors import ForeignTopic, LostRecords
from pipeline.kafka.client import KafkaUnavailable
from pipeline.lake import Lake
from pipeline.landing import LandingSettings
from pipeline.metrics import Metrics
from pipeline.parameters import Parameters
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_json
from streams.alerts import Alerts
from streams.batches import FetchedBatch
from streams.broker import TopicFacts
from streams.dead_letter import DeadLetters
from streams.deployment import Deployment
from streams.partition import PartitionWorker, new_lander
from streams.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPIC = "logs"
PLACE = TP(TOPIC, 0)
FACTS = TopicFacts(TOPIC, "topicid", "cluster", {0: 0}, {0: 0})
NOW = datetime(2026, 2, 1, tzinfo=UTC)


class MadeUpBroker:
    """Says what the test wants Kafka to say."""

    def __init__(self) -> None:
        self.now: TopicFacts | Exception = FACTS

    def facts(self, _topic: str) -> TopicFacts:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


class Bench:
    """A worker, everything around it, and its errors."""

    def __init__(self, folder: Path, values: list[bytes], **settings: Any) -> None:
        self.values = values
        self.lake = Lake.open_or_create(folder, parameters=Parameters.default())
        self.clock = ManualClock(NOW)
        self.broker = MadeUpBroker()
        self.metrics = Metrics()
        self.seeks: list[dict[TP, int]] = []
        self.epoch = 1
        self.errors: list[BaseException] = []
        self.sent: list[tuple[bytes, bytes]] = []
        self.pool = ThreadPoolExecutor(2)
        self.services = Services(
            lake=self.lake,
            engine=Engine(self.lake.parameters, None, 3600),
            decoder=RecordDecoder(self.lake.config.space),
            landing=LandingSettings(**{"segment_records": 40, "max_future_seconds": 3600, **settings}),
            clock=self.clock,
            broker=self.broker,  # type: ignore[arg-type]
            metrics=self.metrics,
            dead_letters=DeadLetters("dead", self.send, self.metrics),
            alerts=Alerts("alerts", self.lake, self.send, self.metrics),
            pool=self.pool,
            seek=self.seek,
        )
        lander = new_lander(self.services, PLACE, FACTS)
        lander.check(0, FACTS.topic_id)
        self.worker = PartitionWorker(
            self.services,
            PLACE,
            FACTS,
            lander,
            self.epoch,
            looks=None,
            fail=self.errors.append,
            moved_on=lambda: None,
        )
        self.worker.start()

    async def seek(self, offsets: Any) -> dict[TP, int]:
        self.seeks.append(dict(offsets))
        self.epoch += 1
        return dict.fromkeys(offsets, self.epoch)

    async def send(self, _topic: str, key: bytes, value: bytes) -> Any:
        self.sent.append((key, value))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def batch(self, first: int, after: int, epoch: int | None = None, **changes: Any) -> FetchedBatch:
        offsets = np.arange(first, after, dtype=np.int64)
        times = np.full(len(offsets), int(NOW.timestamp() * 1000), np.int64)
        values = self.values[first:after]
        whole = FetchedBatch(
            TOPIC, 0, epoch or self.epoch, first, after, offsets, times, values, sum(map(len, values)), 100
        )
        return replace(whole, **changes)

    async def until(self, happened: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not happened():
                await asyncio.sleep(0.005)

    async def feed(self, first: int, after: int, **changes: Any) -> None:
        """Offer a batch and wait until it has been worked on."""
        self.worker.offer(self.batch(first, after, **changes))
        await self.until(lambda: self.worker.wants and self.worker.lander.next_offset >= after)

    async def end(self) -> None:
        await self.worker.stop(land=False, roll_up=False, seconds=5)
        self.pool.shutdown()

    def other_writer(self, upto: int) -> None:
        """Another worker lands the same range first."""
        lander = new_lander(self.services, PLACE, FACTS)
        decoded = self.services.decoder.decode_messages(
            self.values[lander.next_offset : upto],
            topic_id=FACTS.topic_id,
            topic=TOPIC,
            partition=0,
            offsets=np.arange(lander.next_offset, upto),
        )
        lander.accept(decoded, lander.next_offset, upto)
        lander.land()


@pytest.fixture(scope="module")
def values() -> list[bytes]:
    from datetime import timedelta

    import pyarrow as pa

    rng = np.random.default_rng(3)
    from pipeline.records.grid import quantise
    from pipeline.spaces import EmbeddingSpace

    q = quantise(rng.standard_normal((120, 384), dtype=np.float32), EmbeddingSpace())
    table = pa.table(
        {
            "request_id": [f"r{i}" for i in range(120)],
            "account_id": [f"a{i % 5}" for i in range(120)],
            "event_time": pa.array(
                [datetime(2026, 1, 5) + timedelta(minutes=i) for i in range(120)], pa.timestamp("us")
            ),
            "embedding": pa.array([row.tobytes() for row in q], pa.binary(384)),
        }
    )
    return list(encode_json(table))


@pytest.fixture
def play(tmp_path: Path, values: list[bytes]) -> Callable[..., None]:
    """Run a scene on the event loop."""

    def run(scene: Callable[[Bench], Any], **settings: Any) -> None:
        async def whole() -> None:
            bench = Bench(tmp_path / "lake", values, **settings)
            try:
                await scene(bench)
            finally:
                await bench.end()

        asyncio.run(whole())

    return run


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
        assert bench.metrics.value(m.REJECTED, TOPIC, 0, "not_json") == 1
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
