# ruff: noqa: SLF001
"""Faust's Kafka transport, with whole fetches as messages and the chain's head as the only commit.

Faust's own path costs about 110 us a message, whatever the codec, and its commit logic can pass over
records that are still being worked on. Both go away here: one Faust message is one fetch of one partition,
and what is committed to Kafka is where the landed chain ends, for lag monitoring and nothing else. Where to
read from is asked of the `Ledger`, never of Kafka.

The names overridden are internals of the pinned Faust version; `tests/streams/test_overrides.py` holds the
list and checks each one against the installed source.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

import aiokafka
import numpy as np
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from streams.batches import FetchedBatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from streams.settings import FetchSettings

logger = logging.getLogger(__name__)

# While a busy partition is left out of a fetch, the wait for the others is cut short, so that it is asked
# again soon after it has room.
BUSY_WAIT_SECONDS = 0.05
# Records are taken from a fetch in pieces of this many at first; then by their measured size.
FIRST_PIECE = 64
LARGEST_PIECE = 1024


class Ledger(Protocol):
    """Who says where each partition is read from and what of it is landed."""

    async def assigned(self, partitions: set[TP]) -> None:
        """Called after every assignment, before anything is fetched: drop work in memory, seek to the heads."""
        ...

    def head(self, tp: TP) -> int | None:
        """Next offset to land of an owned partition; what may be committed. None: nothing to commit."""
        ...

    def committable(self) -> Iterable[TP]:
        """Partitions owned now."""
        ...

    def wants(self, tp: TP) -> bool:
        """Whether another batch of this partition would be worked on, rather than wait."""
        ...

    async def wait_for_room(self, seconds: float) -> None:
        """Return when some partition wants a batch again, at the latest after this time."""
        ...


class ForgetfulOffsets(dict[TP, "int | None"]):
    """Stands in for Faust's table of read offsets and remembers nothing.

    Faust drops a message whose offset lies before the highest it has read. After a seek back to the chain's
    head a late fetch could raise that mark, and everything after it would be dropped in silence. Which batch
    joins which is decided by epoch and offsets here, so the mark is never read.
    """

    def __getitem__(self, _tp: TP) -> None:
        return None

    def get(self, _tp: TP, _default: Any = None) -> None:
        """Nothing was read as far as Faust is concerned."""


class FetchThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer: takes whole fetches, keeps what has been taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Both belong to this thread: position after the last batch handed out, and number of seeks.
        self.ends: dict[TP, int] = {}
        self.epochs: dict[TP, int] = {}
        self._turn = 0

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        fetch: FetchSettings = transport.fetch
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            # A position that Kafka no longer has becomes a jump, which the join of fetches finds. With "none"
            # the first fetch of a new group, which happens before we seek, would fail.
            auto_offset_reset="earliest",
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=fetch.bytes,
            fetch_max_bytes=fetch.total_bytes,
            # One request is in flight per broker; a long wait for an idle partition holds up the others.
            fetch_max_wait_ms=fetch.wait_ms,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            # What a transaction took back was never accepted.
            isolation_level="read_committed",
            metadata_max_age_ms=fetch.metadata_max_age_ms,
            **transport.security,
        )

    async def seek_to(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        """Seek partitions that are still assigned; returns the epoch from which their batches count."""
        return dict(await self.call_thread(self._seek_to, dict(offsets)))

    async def _seek_to(self, offsets: dict[TP, int]) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        done: dict[TP, int] = {}
        for tp, offset in offsets.items():
            try:
                consumer.seek(tp, offset)
            except IllegalStateError:
                continue  # taken away meanwhile; another assignment follows
            self.ends[tp] = offset
            self.epochs[tp] = done[tp] = self.epochs.get(tp, 0) + 1
        return done

    async def fetch(self, wanted: set[TP], timeout: float) -> dict[TP, list[FetchedBatch]]:
        """At most one batch of each wanted partition."""
        return dict(await self.call_thread(self._fetch, self._ensure_consumer(), wanted, timeout))

    async def _fetch(
        self, consumer: aiokafka.AIOKafkaConsumer, wanted: set[TP], timeout: float
    ) -> dict[TP, list[FetchedBatch]]:
        # The call was queued: a rebalance may have begun since, and waiting inside it would be a deadlock.
        if not self.consumer.flow_active or consumer._fetcher._subscriptions.reassignment_in_progress:
            return {}
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        with consumer._fetcher._subscriptions.fetch_context():
            # Whose turn it is to be first moves on with every fetch, and nobody takes more than its share.
            order = sorted(tp for tp in wanted if tp in self.ends)
            self._turn = (self._turn + 1) % max(1, len(order))
            order = order[self._turn :] + order[: self._turn]
            found = await self._take_all(consumer, order)
            if not found and order:
                await _wait_for_data(consumer._fetcher, timeout)
                found = await self._take_all(consumer, order)
            return {tp: [batch] for tp, batch in found.items()}

    async def _take_all(self, consumer: aiokafka.AIOKafkaConsumer, order: list[TP]) -> dict[TP, FetchedBatch]:
        found = {}
        for tp in order:
            try:
                batch = await self._take(consumer, tp)
            except BaseException:
                # Records may have been taken and not handed on. Without an end, nothing of this partition is
                # handed out until it is sought again: a hole must not look like a transaction's gap.
                self.ends.pop(tp, None)
                raise
            if batch is not None:
                found[tp] = batch
        return found

    async def _take(self, consumer: aiokafka.AIOKafkaConsumer, tp: TP) -> FetchedBatch | None:
        """Everything that lies ready for one partition, up to the bounds of a batch."""
        fetch: FetchSettings = self.transport.fetch
        fetcher = consumer._fetcher
        state = self._state(fetcher, tp)
        epoch, first = self.epochs.get(tp), self.ends.get(tp)
        if state is None or epoch is None or first is None:
            return None
        records: list[Any] = []
        after, size, jumped = first, 0, False
        while len(records) < fetch.records and size < fetch.bytes:
            # From here to the end of this turn nobody else runs in this thread, so the position is moved by what
            # we take and by nothing else. If it was moved before, Kafka's client did so: to the log's start,
            # because what we were to read next is no longer there.
            if fetcher._subscriptions.reassignment_in_progress or not state.has_valid_position:
                break
            jumped = state.position != after
            if jumped:
                break
            piece = FIRST_PIECE
            if records:
                # Compressed batches unfold to any size: what is taken is bounded by the bytes seen so far.
                piece = max(1, min(LARGEST_PIECE, (fetch.bytes - size) * len(records) // (size + 1)))
            piece = min(piece, fetch.records - len(records))
            more = (await fetcher.fetched_records([tp], timeout=0, max_records=piece)).get(tp)
            if self.epochs.get(tp) != epoch or tp not in self.ends:
                return None  # sought or revoked meanwhile: what was taken belongs to the past
            after = state.position
            if not more:
                break
            records.extend(more)
            size += _size(more)
        if not records and after == first and not jumped:
            return None
        self.ends[tp] = after
        return FetchedBatch(
            topic=tp.topic,
            partition=tp.partition,
            epoch=epoch,
            first_offset=first,
            next_offset=after,
            offsets=np.fromiter((r.offset for r in records), np.int64, len(records)),
            timestamps=np.fromiter((r.timestamp for r in records), np.int64, len(records)),
            values=[r.value for r in records],
            bytes=size,
            highwater=-1 if state.highwater is None else state.highwater,
            jumped=jumped and not records,
        )

    @staticmethod
    def _state(fetcher: Any, tp: TP) -> Any:
        assignment = fetcher._subscriptions.subscription.assignment
        return assignment.state_value(tp) if assignment is not None else None

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # Faust crashes the app when this fails. Nothing depends on it here: say so and go on.
        consumer = self._ensure_consumer()
        mine = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        try:
            await consumer.commit({driver.ensure_aiokafka_TP(tp): offset for tp, offset in mine.items()})
        except (CommitFailedError, IllegalStateError):
            return False  # the group moved on; the next owner commits
        except KafkaError as error:
            logger.warning(
                "cannot commit the chain's head to Kafka (only lag monitoring misses it): %r", error
            )
            return False
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's guesses at a stuck stream take our back-pressure for one; `/health` knows better."""


async def _wait_for_data(fetcher: Any, timeout: float) -> None:
    """Return when something was fetched, at the latest after ``timeout`` seconds; takes nothing."""
    waiter = fetcher._create_fetch_waiter()
    done, _ = await asyncio.wait([waiter], timeout=timeout)
    if done:
        waiter.result()  # tells of lost authorisation
    else:
        waiter.cancel()


def _size(records: list[Any]) -> int:
    return sum(len(r.value) for r in records if r.value is not None)


class RebalanceListener(driver.ConsumerRebalanceListener):  # type: ignore[misc]
    """Forgets positions the moment partitions are revoked, so that nothing is handed out before the seek."""

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> Awaitable[None]:
        """Runs in the consumer's thread."""
        self._thread.ends.clear()
        return super().on_partitions_revoked(revoked)  # type: ignore[no-any-return]


class ChainConsumer(driver.Consumer):  # type: ignore[misc]
    """Reads from the chain's head and commits the chain's head."""

    RebalanceListener = RebalanceListener

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = ForgetfulOffsets()
        self._seeking = asyncio.Lock()

    @property
    def ledger(self) -> Ledger:
        """The app's own; never shared between apps."""
        return self.transport.ledger  # type: ignore[no-any-return]

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    # Fetching

    async def _getmany(
        self, active_partitions: set[TP] | None, timeout: float
    ) -> dict[TP, list[FetchedBatch]]:
        active = active_partitions or set()
        wanted = {tp for tp in active if self.ledger.wants(tp)}
        if not wanted:
            await self.ledger.wait_for_room(timeout)
            return {}
        if wanted != active:
            timeout = min(timeout, BUSY_WAIT_SECONDS)
        return await self._thread.fetch(wanted, timeout)  # type: ignore[no-any-return]

    def _to_message(self, tp: TP, record: FetchedBatch) -> ConsumerMessage:
        return ConsumerMessage(
            record.topic,
            record.partition,
            record.next_offset - 1,
            None,  # a batch has many times; they are inside
            None,
            [],
            None,
            record,
            None,
            0,
            record.bytes,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def highwater(self, tp: TP) -> int:
        """End of the log; 0 for a partition that was taken away while its last fetch was on its way."""
        try:
            return int(self._thread.highwater(tp) or 0)
        except (AssertionError, AttributeError, IllegalStateError):
            return 0

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: back-pressure is `Ledger.wants`, per partition, before the fetch."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing, see `on_buffer_full`."""

    # Where to read from

    async def perform_seek(self) -> None:
        """Seek to the chains' heads, where Faust would seek to what is committed."""
        async with self._seeking:
            await self.ledger.assigned(set(self.assignment()))

    async def seek_to_heads(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        """Seek; returns, per partition still assigned, the epoch of the batches that will follow."""
        return await self._thread.seek_to(offsets)  # type: ignore[no-any-return]

    # What is committed

    def ack(self, message: Any) -> bool:
        """A batch was handed over. What of it is landed is the ledger's business."""
        with ack_lock:
            message.acked = True
            self._unacked_messages.discard(message)
            notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: gaps are part of a batch's range."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[TP]:
        return [
            tp for tp in self.ledger.committable() if topics is None or tp in topics or tp.topic in topics
        ]

    def _new_offset(self, tp: TP) -> int | None:
        return self.ledger.head(tp)


class SecureProducer(driver.Producer):  # type: ignore[misc]
    """Takes aiokafka's security arguments as they are, instead of Faust's wrapping of them."""

    def _settings_auth(self) -> Mapping[str, Any]:
        return dict(self.transport.security)


class ChainTransport(driver.Transport):  # type: ignore[misc]
    """The transport of one app.

    Parameters
    ----------
    url, app
        As Faust passes them.
    ledger
        Who says where partitions are read from and what of them is landed.
    fetch
        Bounds of one fetch.
    security
        aiokafka's security arguments.
    """

    Consumer = ChainConsumer
    Producer = SecureProducer

    def __init__(
        self, url: list[Any], app: Any, *, ledger: Ledger, fetch: FetchSettings, security: Mapping[str, Any]
    ) -> None:
        super().__init__(url, app)
        self.ledger = ledger
        self.fetch = fetch
        self.security = security
