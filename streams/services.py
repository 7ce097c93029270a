"""What the workers of all partitions share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import ThreadPoolExecutor

    from faust.types import TP

    from pipeline.clock import Clock
    from pipeline.engine import Engine
    from pipeline.lake import Lake
    from pipeline.landing import LandingSettings
    from pipeline.metrics import Metrics
    from pipeline.records.decode import RecordDecoder
    from streams.alerts import Alerts
    from streams.broker import Broker
    from streams.dead_letter import DeadLetters

T = TypeVar("T")


@dataclass(slots=True)
class Services:
    """Handed to every partition's worker.

    Attributes
    ----------
    pool
        Threads for decoding and landing: the event loop, and with it Kafka's heartbeat, never waits for them.
    roll_up
        Held during a roll-up: two at a time bound the memory, and keep the processors busy: what of one holds
        the interpreter overlaps with the matrix products of the other.
    seek
        Seeks partitions and returns the epoch of the batches that follow.
    room
        Set whenever a partition has room for another batch.
    """

    lake: Lake
    engine: Engine
    decoder: RecordDecoder
    landing: LandingSettings
    clock: Clock
    broker: Broker
    metrics: Metrics
    dead_letters: DeadLetters
    alerts: Alerts
    pool: ThreadPoolExecutor
    seek: Callable[[Mapping[TP, int]], Awaitable[dict[TP, int]]]
    roll_up: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    room: asyncio.Event = field(default_factory=asyncio.Event)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something that blocks."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)
