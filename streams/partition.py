"""One partition while this worker owns it: batches in, dead letters out, segments and windows landed.

Everything it holds can be thrown away at any moment; the lake's chain says where to go on.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline import metrics as m
from pipeline.errors import ChainMoved, ForeignTopic
from pipeline.kafka.client import KafkaUnavailable, TopicMissing
from pipeline.landing import PartitionLander
from streams.pieces import pieces_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import numpy as np
    import numpy.typing as npt
    from faust.types import TP

    from pipeline.records.schema import Decoded
    from streams.batches import FetchedBatch
    from streams.broker import TopicFacts
    from streams.looks import Looks
    from streams.services import Services

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A new leader may for a moment tell an end of the log that lies behind what its followers already served.
END_PATIENCE_SECONDS = 10.0
END_PAUSE = 1.0
# Append times past this are no milliseconds, whatever they are; nothing is judged by them.
LATEST_MILLISECONDS = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)


class Stopped(Exception):
    """A partition is being given up; whatever is held is dropped or landed by whoever asked."""


class PartitionWorker:
    """Works on one partition from one assignment to the next.

    Parameters
    ----------
    facts
        The topic as it was when the partition was assigned.
    lander
        Holds what is not landed yet.
    epoch
        Batches of other epochs are ignored.
    fail
        Told about an error after which nothing may go on.
    moved_on
        Told after every batch that was taken.
    """

    def __init__(
        self,
        services: Services,
        tp: TP,
        facts: TopicFacts,
        lander: PartitionLander,
        epoch: int,
        *,
        looks: Looks | None,
        fail: Callable[[BaseException], None],
        moved_on: Callable[[], None],
    ) -> None:
        self.tp = tp
        self.epoch = epoch
        self.lander = lander
        self.failing: str | None = None
        self.highwater = facts.ends.get(tp.partition, -1)
        self._services = services
        self._facts = facts
        self._looks = looks
        self._fail = fail
        self._moved_on = moved_on
        self._labels = (tp.topic, tp.partition)
        # One batch is worked on and one waits; `wants` keeps it so.
        self._inbox: asyncio.Queue[FetchedBatch | None] = asyncio.Queue()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # Called from the event loop

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"land {self.tp.topic}/{self.tp.partition}"
        )

    @property
    def wants(self) -> bool:
        """Whether one more batch may be fetched."""
        return self._inbox.empty() and not self._stopping.is_set()

    def offer(self, batch: FetchedBatch) -> None:
        """Take a batch; never blocks."""
        if batch.epoch == self.epoch and not self._stopping.is_set():
            self._inbox.put_nowait(batch)
        else:
            self._services.metrics.add(m.LATE_FETCHES, 1, *self._labels)

    def tick(self) -> None:
        """See whether a segment or a roll-up is due by time."""
        if self._inbox.empty():
            self._inbox.put_nowait(None)

    async def stop(self, *, land: bool, roll_up: bool, seconds: float) -> None:
        """Give the partition up: finish what is being done, optionally land what is held.

        What cannot be landed within ``seconds`` is dropped; the next owner reads it again.
        """
        self._stopping.set()
        try:
            async with asyncio.timeout(seconds):
                if self._task is not None:
                    await asyncio.wait([self._task])
                if land:
                    await self._persist("land", self._land)
                if roll_up:
                    await self._roll_up()
        except (TimeoutError, Stopped):
            logger.warning(
                "%s/%d: not everything could be landed in %.0f s; the next owner reads it again",
                *self._labels,
                seconds,
            )
        except ChainMoved:
            logger.info("%s/%d: another worker landed this range first", *self._labels)
        except Exception as error:
            self._fail(error)
        finally:
            if self._task is not None:
                self._task.cancel()

    # The loop of this partition

    async def _run(self) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                taking = asyncio.ensure_future(self._inbox.get())
                await asyncio.wait([taking, stopping], return_when=asyncio.FIRST_COMPLETED)
                if self._stopping.is_set():
                    taking.cancel()
                    break
                self._services.room.set()
                await self._step(taking.result())
        except (asyncio.CancelledError, Stopped):
            pass
        except BaseException as error:
            self.failing = str(error)
            self._fail(error)
        finally:
            stopping.cancel()

    async def _step(self, batch: FetchedBatch | None) -> None:
        try:
            if batch is not None:
                await self._take(batch)
            if self.lander.due() is not None:
                await self._persist("land", self._land)
            if self.lander.roll_up_due() is not None:
                await self._roll_up()
        except ChainMoved as moved:
            self._services.metrics.add(m.CHAIN_MOVES, 1, *self._labels)
            await self._resync(str(moved))
        self._show()
        if batch is not None:
            self._moved_on()

    async def _take(self, batch: FetchedBatch) -> None:
        services = self._services
        if batch.epoch != self.epoch:
            services.metrics.add(m.LATE_FETCHES, 1, *self._labels)
            return
        held_to = self.lander.next_offset
        joins = batch.first_offset == held_to and not batch.jumped
        if not joins or batch.skips_first:
            await self._look_for_losses()
        if not joins:
            await self._resync(
                f"fetched from offset {batch.first_offset} to {batch.next_offset}, held up to {held_to}"
            )
            return
        self.highwater = batch.highwater
        metrics = services.metrics
        metrics.add(m.FETCHES, 1, *self._labels)
        metrics.add(m.FETCHED_BYTES, batch.bytes, *self._labels)
        metrics.add(m.MESSAGES, len(batch), *self._labels)
        whole = True
        for piece in pieces_of(batch, services.decoder.limits.max_rows):
            if not whole:
                # A few kilobytes can unfold to any number of full segments: each is landed before more is unfolded.
                if self.lander.due() is not None:
                    await self._persist("land", self._land)
                if self._stopping.is_set():
                    raise Stopped  # what is left is read again
            whole = False
            await self._take_piece(piece)

    async def _take_piece(self, piece: FetchedBatch) -> None:
        services = self._services
        began = services.clock.monotonic()
        decoded = await services.in_thread(self._decode, piece)
        services.metrics.add(m.DECODING_SECONDS, services.clock.monotonic() - began, *self._labels)
        await self._unless_stopped(services.dead_letters.publish(decoded.rejected))
        await services.in_thread(self._accept, piece, decoded)
        self._count(decoded)

    def _decode(self, batch: FetchedBatch) -> Decoded:
        return self._services.decoder.decode_messages(
            batch.values,
            topic_id=self._facts.topic_id,
            topic=batch.topic,
            partition=batch.partition,
            offsets=batch.offsets,
            append_times=batch.timestamps,
        )

    def _accept(self, batch: FetchedBatch, decoded: Decoded) -> None:
        newest = newest_append_time(batch.timestamps)
        self.lander.accept(decoded, batch.first_offset, batch.next_offset, last_append_time=newest)
        if self._looks is not None and decoded.records.num_rows:
            self._looks.observe(decoded.records)

    # Landing

    async def _land(self) -> None:
        services = self._services
        log_start = await self._check_before_put()
        began = services.clock.monotonic()
        segment = await services.in_thread(self.lander.land)
        seconds = services.clock.monotonic() - began
        services.metrics.add(m.LANDING_SECONDS, seconds, *self._labels)
        if segment is not None:
            services.metrics.add(m.SEGMENTS, 1, *self._labels)
            logger.info(
                "%s/%d: landed offsets %d to %d (%d records, %d rejected) in %.2f s",
                *self._labels, segment.first_offset, segment.last_offset, segment.records, segment.rejected, seconds,
            )  # fmt: skip
        if log_start is not None:
            # Only now: what was held is safe, and what the log lost behind it is to be heard of at once.
            self.lander.check(log_start, self._facts.topic_id)

    async def _roll_up(self) -> None:
        services = self._services
        async with services.roll_up:
            began = services.clock.monotonic()
            try:
                rollup = await self._persist("roll up", lambda: services.in_thread(self.lander.roll_up))
            except ChainMoved as moved:
                # Somebody else rolled the same segments up; what is held here is not touched by that.
                services.metrics.add(m.CHAIN_MOVES, 1, *self._labels)
                logger.info("%s", moved)
                return
            seconds = services.clock.monotonic() - began
        services.metrics.add(m.ROLL_UP_SECONDS, seconds, *self._labels)
        if rollup is not None:
            services.metrics.add(m.ROLL_UPS, 1, *self._labels)
            logger.info(
                "%s/%d: rolled windows up to offset %d in %.2f s", *self._labels, rollup.last_offset, seconds
            )

    async def _persist(self, what: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until it works, or until this partition is given up; nothing is fetched meanwhile."""
        pause = FIRST_PAUSE
        last_chance = self._stopping.is_set()
        while True:
            try:
                result = await attempt()
            except OSError as error:
                self.failing = f"cannot {what} partition {self.tp.partition}: {error}"
                self._services.metrics.add(m.LANDING_FAILURES, 1, *self._labels)
                self._show()
                logger.error("%s; next try in %.1f s, what is held stays held", self.failing, pause)  # noqa: TRY400
            else:
                self.failing = None
                return result
            if self._stopping.is_set() and not last_chance:
                raise Stopped
            await self._unless_stopped(asyncio.sleep(pause)) if not last_chance else await asyncio.sleep(
                pause
            )
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _unless_stopped(self, work: Awaitable[Any]) -> None:
        """Wait for something that may take forever, but not past being stopped."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Stopped
            working.result()
        finally:
            working.cancel()
            stopping.cancel()

    async def _check_before_put(self) -> int | None:
        """The topic must still be the one whose records are held; gives the log's start, None when nobody answers."""
        try:
            facts = await self._services.in_thread(self._services.broker.facts, self.tp.topic)
        except KafkaUnavailable:
            # What is held was fetched and joins: it is better in the lake than in the memory of a worker
            # whose Kafka is away. The check comes with the next assignment or put.
            return None
        except TopicMissing as gone:
            raise foreign(self.tp.topic, self._facts.topic_id, None) from gone
        if facts.topic_id != self._facts.topic_id:
            raise foreign(self.tp.topic, self._facts.topic_id, facts.topic_id)
        return facts.starts.get(self.tp.partition)

    async def _look_for_losses(self) -> None:
        """When a fetch did not begin where the last ended: see that the log is still the one, still reaches back, and still holds what is landed."""
        waited = 0.0
        while True:
            facts = await self._facts_for_sure()
            if facts.topic_id != self._facts.topic_id:
                raise foreign(self.tp.topic, self._facts.topic_id, facts.topic_id)
            if not ends_behind(facts, self.tp.partition, self.lander.head):
                break
            if waited >= END_PATIENCE_SECONDS:
                raise truncated(facts, self.tp.partition, self.lander.head)
            waited += END_PAUSE
            await self._unless_stopped(asyncio.sleep(END_PAUSE))
        self.lander.check(facts.starts.get(self.tp.partition, 0), facts.topic_id)

    async def _facts_for_sure(self) -> TopicFacts:
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._services.in_thread(self._services.broker.facts, self.tp.topic)
            except KafkaUnavailable as error:
                logger.warning("%s", error)
                await self._unless_stopped(asyncio.sleep(pause))
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _resync(self, why: str) -> None:
        """Drop what is held, read the chain's head again, and go on from there."""
        services = self._services
        services.metrics.add(m.RESYNCS, 1, *self._labels)
        logger.info("%s/%d: back to the chain's head: %s", *self._labels, why)
        facts = self._facts
        self.lander = await services.in_thread(new_lander, services, self.tp, facts)
        await self._look_for_losses()
        epochs = await services.seek({self.tp: self.lander.next_offset})
        if self.tp not in epochs:
            raise Stopped  # taken away meanwhile
        self.epoch = epochs[self.tp]

    # What is told

    def _count(self, decoded: Decoded) -> None:
        metrics = self._services.metrics
        metrics.add(m.RECORDS, decoded.records.num_rows, *self._labels)
        if decoded.unknown_fields:
            metrics.add(m.UNKNOWN_FIELDS, sum(decoded.unknown_fields.values()), *self._labels)
        if decoded.rejected.num_rows:
            for each in decoded.rejected.column("reason").value_counts().to_pylist():
                metrics.add(m.REJECTED, each["counts"], *self._labels, each["values"])

    def _show(self) -> None:
        metrics, lander = self._services.metrics, self.lander
        head = lander.head or 0
        metrics.set(m.CHAIN_HEAD, head, *self._labels)
        metrics.set(m.HELD, lander.held_records, *self._labels)
        metrics.set(m.FAILING, self.failing is not None, *self._labels)
        if self.highwater >= 0:
            metrics.set(m.LOG_END, self.highwater, *self._labels)
            metrics.set(m.LAG, max(0, self.highwater - head), *self._labels)

    def forget(self) -> None:
        """Take this partition's gauges down; another worker tells them from now on."""
        for gauge in (m.CHAIN_HEAD, m.HELD, m.FAILING, m.LOG_END, m.LAG):
            self._services.metrics.forget(gauge, *self._labels)


def new_lander(services: Services, tp: TP, facts: TopicFacts) -> PartitionLander:
    """A lander that begins at the chain's head as the lake has it now. Blocks."""
    return PartitionLander(
        services.lake,
        services.engine,
        topic=facts.topic,
        topic_id=facts.topic_id,
        partition=tp.partition,
        cluster_id=facts.cluster_id,
        settings=services.landing,
        clock=services.clock,
    )


def foreign(topic: str, expected: str, found: str | None) -> ForeignTopic:
    """The topic is not the one that was read."""
    what = "it was deleted" if found is None else f"its id is {found} now: it was deleted and recreated"
    return ForeignTopic(
        f"topic {topic}: this worker read the one with id {expected}, and {what}. What was landed is safe in the lake; "
        "start the worker again, and it says how to accept the new topic"
    )


def ends_behind(facts: TopicFacts, partition: int, head: int | None) -> bool:
    """Whether a log ends before the chain's head: it lost what is landed, and will hold other records there."""
    end = facts.ends.get(partition)
    return end is not None and head is not None and end < head


def truncated(facts: TopicFacts, partition: int, head: int | None) -> ForeignTopic:
    """The log is not the one that was landed, although the topic is."""
    return ForeignTopic(
        f"topic {facts.topic}, partition {partition}: offsets up to {(head or 0) - 1} are landed, but Kafka's log ends at "
        f"{facts.ends.get(partition)}: it was truncated, or is not the log that was landed. Restore the cluster before "
        "anything is written to it, or land into a new lake"
    )


def newest_append_time(timestamps: npt.NDArray[np.int64]) -> datetime | None:
    """Of milliseconds since 1970, the newest that can be one; None without such.

    Where Kafka keeps the producer's time, it is any number: microseconds, -1, or nonsense.
    """
    believed = timestamps[(timestamps >= 0) & (timestamps <= LATEST_MILLISECONDS)]
    if not len(believed):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(believed.max()))
