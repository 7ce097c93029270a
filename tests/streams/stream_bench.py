"""One partition's worker, or a deployment, on a real lake; Kafka's answers are made up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from faust.types import TP

from pipeline.clock import ManualClock
from pipeline.engine import Engine
from pipeline.lake import Lake
from pipeline.landing import LandingSettings
from pipeline.metrics import Metrics
from pipeline.parameters import Parameters
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_json
from pipeline.records.grid import quantise
from pipeline.spaces import EmbeddingSpace
from streams.alerts import Alerts
from streams.batches import FetchedBatch
from streams.broker import TopicFacts
from streams.dead_letter import DeadLetters
from streams.partition import PartitionWorker, new_lander
from streams.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPIC = "logs"
PLACE = TP(TOPIC, 0)
FACTS = TopicFacts(TOPIC, "topicid", "cluster", {0: 0}, {0: 200})
NOW = datetime(2026, 2, 1, tzinfo=UTC)


class MadeUpBroker:
    """Says what the test wants Kafka to say."""

    def __init__(self) -> None:
        self.now: TopicFacts | Exception = FACTS

    def facts(self, _topic: str) -> TopicFacts:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def owners(self, _group: str, _topic: str) -> dict[int, str]:
        return dict.fromkeys((0, 1), "member")


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


@cache
def record_table(count: int = 120) -> pa.Table:
    """Records of five accounts, a minute apart."""
    rng = np.random.default_rng(3)
    q = quantise(rng.standard_normal((count, 384), dtype=np.float32), EmbeddingSpace())
    return pa.table(
        {
            "request_id": [f"r{i}" for i in range(count)],
            "account_id": [f"a{i % 5}" for i in range(count)],
            "event_time": pa.array(
                [datetime(2026, 1, 5) + timedelta(minutes=i) for i in range(count)], pa.timestamp("us")
            ),
            "embedding": pa.array([row.tobytes() for row in q], pa.binary(384)),
        }
    )


def message_values() -> list[bytes]:
    """120 messages."""
    return list(encode_json(record_table()))
