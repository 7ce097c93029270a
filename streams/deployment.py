"""Which partitions this worker owns, and one `PartitionWorker` for each: the transport's `Ledger`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import metrics as m
from pipeline.errors import DistillwatchError
from pipeline.kafka.client import KafkaUnavailable, TopicMissing
from streams.looks import Looks
from streams.partition import (
    END_PATIENCE_SECONDS,
    PartitionWorker,
    ends_behind,
    foreign,
    new_lander,
    truncated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from faust.types import TP

    from pipeline.errors import ForeignTopic
    from pipeline.landing import PartitionLander
    from streams.batches import FetchedBatch
    from streams.broker import TopicFacts
    from streams.scoring import LiveScorer
    from streams.services import Services

logger = logging.getLogger(__name__)

CAUGHT_UP = "caught up with everything the topic held at the start"
REVOKE_SECONDS = 5.0
LOOK_SECONDS = 20.0
PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why the worker is to stop: nothing wrong, or the error that it must not go on with."""

    error: BaseException | None = None
    reason: str = ""


class Deployment:
    """All partitions of one worker.

    Parameters
    ----------
    topic
        Name of the topic.
    facts
        The topic as it was at the start.
    until_caught_up
        Stop once everything is landed that the topic held then.
    """

    def __init__(
        self,
        services: Services,
        facts: TopicFacts,
        *,
        scorer: LiveScorer | None = None,
        until_caught_up: bool = False,
    ) -> None:
        self.topic = facts.topic
        self.facts = facts
        self.workers: dict[TP, PartitionWorker] = {}
        self.assigned_once = False
        self.closing = False
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.error: BaseException | None = None
        self.problems: dict[str, str] = {}
        self._services = services
        self._looks = None if scorer is None else Looks(scorer, services.alerts, services.metrics, self._held)
        self._targets = dict(facts.ends) if until_caught_up else None
        # Partitions of which it was said that this worker has caught up with them; None: with all.
        self._reached: set[int] | None = None
        self._behind_since: dict[TP, float] = {}

    def finish(self, error: BaseException | None, reason: str = "") -> None:
        """Ask for the whole worker to stop; the first one who asks is heard, and the first error is kept."""
        self.error = self.error or error
        if not self.outcome.done():
            self.outcome.set_result(Outcome(error, reason))

    # Ledger

    async def assigned(self, partitions: set[TP]) -> None:
        """Drop work in memory, find where each chain ends, seek there. Also for partitions that were kept."""
        if self.closing:
            return
        await self.revoked(land=False)
        mine = {tp for tp in partitions if tp.topic == self.topic}
        try:
            facts = await self._facts(mine)
            landers = await self._services.in_thread(self._landers, mine, facts)
        except (DistillwatchError, OSError) as error:
            self.finish(error)
            return
        epochs = await self._services.seek({tp: lander.next_offset for tp, lander in landers.items()})
        for tp, epoch in epochs.items():
            self.workers[tp] = PartitionWorker(
                self._services,
                tp,
                facts,
                landers[tp],
                epoch,
                looks=self._looks,
                fail=self.finish,
                moved_on=self.moved_on,
            )
            self.workers[tp].start()
        self.assigned_once = True
        self._services.metrics.set(m.ASSIGNED, len(self.workers), self.topic)
        heads = (
            ", ".join(f"{tp.partition} from offset {landers[tp].next_offset}" for tp in sorted(epochs))
            or "none"
        )
        logger.info("assigned partitions of %s: %s", self.topic, heads)
        if self.workers:
            self.moved_on()
        self._services.room.set()

    def head(self, tp: TP) -> int | None:
        """Where the landed chain ends: what Kafka may be told."""
        worker = self.workers.get(tp)
        return None if worker is None else worker.lander.head

    def committable(self) -> Iterable[TP]:
        """Partitions owned now."""
        return tuple(self.workers)

    def wants(self, tp: TP) -> bool:
        """Whether a batch of this partition would be worked on."""
        worker = self.workers.get(tp)
        return worker is not None and not self.closing and worker.wants

    async def wait_for_room(self, seconds: float) -> None:
        """Return when a partition has room, at the latest after ``seconds``."""
        self._services.room.clear()
        if any(worker.wants for worker in self.workers.values()) and not self.closing:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._services.room.wait()

    # From Faust's agent, signals and timers

    def offer(self, batch: FetchedBatch) -> None:
        """Hand a fetched batch to its partition."""
        from faust.types import TP

        worker = self.workers.get(TP(batch.topic, batch.partition))
        if worker is None:
            self._services.metrics.add(m.LATE_FETCHES, 1, batch.topic, batch.partition)
        else:
            worker.offer(batch)

    async def revoked(self, *, land: bool) -> None:
        """Give all partitions up; with ``land``, what is held is landed first, so the next owner need not read it again."""
        workers, self.workers = self.workers, {}
        await asyncio.gather(
            *(w.stop(land=land, roll_up=False, seconds=REVOKE_SECONDS) for w in workers.values())
        )
        for worker in workers.values():
            worker.forget()
        self._services.metrics.set(m.ASSIGNED, 0, self.topic)

    async def close(self, seconds: float) -> None:
        """Land what is held, roll windows up, and give everything up.

        Whoever was to catch up ends with an error if what was to be landed is not.
        """
        self.closing = True
        workers = list(self.workers.values())
        await asyncio.gather(*(w.stop(land=True, roll_up=True, seconds=seconds) for w in workers))
        if self._targets is not None:
            await self._check_targets()
        if self._looks is not None:
            await self._looks.close(LOOK_SECONDS)

    def _held(self) -> list[pa.Table]:
        """Records accepted and not landed, of all partitions owned."""
        return [worker.lander.held_table() for worker in list(self.workers.values())]

    async def tick(self) -> None:
        """By timer: what is due by time, and whether everything is landed that was to be."""
        for worker in self.workers.values():
            worker.tick()
        idle = self._targets is not None and self.assigned_once and not self.workers
        if idle and await self._services.in_thread(self._all_landed):
            self.finish(None, CAUGHT_UP)

    def moved_on(self) -> None:
        """Called after each batch: held records count as reached, for stopping lands them."""
        targets = self._targets
        if targets is not None and all(
            w.lander.next_offset >= targets.get(tp.partition, 0) for tp, w in self.workers.items()
        ):
            self._reached = self._reached or {tp.partition for tp in self.workers}
            self.finish(None, CAUGHT_UP)

    def _all_landed(self) -> bool:
        """For a worker without partitions: whether the others have landed everything."""
        return not self._missing(None)

    def _missing(self, partitions: set[int] | None) -> list[str]:
        """What was to be landed of these partitions (None: of all) and is not, in words. Blocks."""
        lake, topic_id = self._services.lake, self.facts.topic_id
        return [
            f"partition {p} up to offset {head} of {end}"
            for p, end in sorted((self._targets or {}).items())
            if (partitions is None or p in partitions) and (head := lake.head(topic_id, p) or 0) < end
        ]

    async def _check_targets(self) -> None:
        try:
            missing = await self._services.in_thread(self._missing, self._reached)
        except (DistillwatchError, OSError) as error:
            self.finish(error)
            return
        if missing:
            msg = (
                f"stopped before everything was landed that topic {self.topic} held at the start: {', '.join(missing)}; "
                "see the errors above, then run it again: it goes on from there"
            )
            self.finish(DistillwatchError(msg))

    async def watch(self, group: str) -> None:
        """By timer: see that the topic is still there, still the same, and each of its partitions owned by somebody."""
        problems: dict[str, str] = {}
        # Read before Kafka is asked: what is landed meanwhile may lie past the end that it tells.
        heads = {tp: worker.lander.head for tp, worker in self.workers.items()}
        try:
            facts = await self._services.in_thread(self._services.broker.facts, self.topic)
            owners = await self._services.in_thread(self._services.broker.owners, group, self.topic)
        except TopicMissing:
            self.finish(foreign(self.topic, self.facts.topic_id, None))
            return
        except KafkaUnavailable as away:
            problems["kafka"] = str(away)
        else:
            if facts.topic_id != self.facts.topic_id:
                self.finish(foreign(self.topic, self.facts.topic_id, facts.topic_id))
                return
            if short := self._ends_behind(facts, heads):
                problems["log"] = short.message
            orphans = [p for p in facts.partitions if p not in owners]
            if orphans:
                problems["partitions"] = (
                    f"no worker of group {group} owns partition(s) {orphans} of {self.topic}"
                )
        self.problems = problems

    def _ends_behind(self, facts: TopicFacts, heads: Mapping[TP, int | None]) -> ForeignTopic | None:
        """A log that ends before what is landed; the worker stops when it still does after some patience."""
        now = self._services.clock.monotonic()
        behind = [tp for tp, head in sorted(heads.items()) if ends_behind(facts, tp.partition, head)]
        self._behind_since = {tp: self._behind_since.get(tp, now) for tp in behind}
        errors = {tp: truncated(facts, tp.partition, heads[tp]) for tp in behind}
        for tp, error in errors.items():
            if now - self._behind_since[tp] >= END_PATIENCE_SECONDS:
                self.finish(error)
        return next(iter(errors.values()), None)

    # Where to begin

    async def _facts(self, mine: set[TP]) -> TopicFacts:
        waited = 0.0
        while True:
            try:
                facts = await self._services.in_thread(self._services.broker.facts, self.topic)
                behind = await self._services.in_thread(self._ends_behind_heads, mine, facts)
            except KafkaUnavailable as error:
                logger.warning("%s; trying again", error)
            else:
                if not behind or waited >= END_PATIENCE_SECONDS:
                    return facts
                waited += PAUSE
            await asyncio.sleep(PAUSE)

    def _ends_behind_heads(self, mine: set[TP], facts: TopicFacts) -> bool:
        lake = self._services.lake
        return any(ends_behind(facts, tp.partition, lake.head(facts.topic_id, tp.partition)) for tp in mine)

    def _landers(self, mine: set[TP], facts: TopicFacts) -> dict[TP, PartitionLander]:
        """Check what the log still holds against what the chains need; begin new chains. Blocks."""
        found = {}
        for tp in sorted(mine):
            lander = new_lander(self._services, tp, facts)
            lander.check(facts.starts[tp.partition], facts.topic_id)
            if ends_behind(facts, tp.partition, lander.head):
                raise truncated(facts, tp.partition, lander.head)
            found[tp] = lander
        return found
