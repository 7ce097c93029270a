"""What one fetch takes, from whom, and what it says about the range: against a stand-in for aiokafka's fetcher."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from faust.types import TP

from streams.settings import FetchSettings
from streams.transport import ChainConsumer, FetchThread, ForgetfulOffsets


class Log:
    """One partition's records behind aiokafka's fetcher: hands out, moves the position."""

    def __init__(self, offsets: list[int], size: int = 10, end: int | None = None) -> None:
        self.records = [SimpleNamespace(offset=o, timestamp=o, value=b"v" * size) for o in offsets]
        self.state = SimpleNamespace(position=0, has_valid_position=True, highwater=1000)
        self.end = end

    def take(self, count: int) -> list[Any]:
        ready = [r for r in self.records if r.offset >= self.state.position][:count]
        if ready:
            self.state.position = ready[-1].offset + 1
        if not [r for r in self.records if r.offset >= self.state.position] and self.end is not None:
            self.state.position = self.end
        return ready


class FakeFetcher:
    def __init__(self, logs: dict[TP, Log]) -> None:
        self.logs = logs
        self.asked: list[tuple[tuple[TP, ...], int]] = []
        self._closed = False
        self.before_take: Any = None
        states = SimpleNamespace(state_value=lambda tp: logs[tp].state)
        self._subscriptions = SimpleNamespace(
            reassignment_in_progress=False,
            fetch_context=contextlib.nullcontext,
            subscription=SimpleNamespace(assignment=states),
        )

    def _create_fetch_waiter(self) -> Any:
        return asyncio.get_running_loop().create_future()

    async def fetched_records(
        self, partitions: Any, timeout: float = 0, max_records: int = 1
    ) -> dict[TP, list[Any]]:
        self.asked.append((tuple(partitions), max_records))
        if self.before_take is not None:
            action, self.before_take = self.before_take, None
            action()
        found = {}
        for tp in partitions:
            records = self.logs[tp].take(max_records)
            if records:
                found[tp] = records
                if len(partitions) > 1:
                    break
        return found


def thread_of(fetch: FetchSettings, logs: dict[TP, Log]) -> tuple[FetchThread, Any]:
    thread = FetchThread.__new__(FetchThread)
    thread.ends = {tp: log.state.position for tp, log in logs.items()}
    thread.epochs = dict.fromkeys(logs, 1)
    thread._turn = 0
    thread.transport = SimpleNamespace(fetch=fetch)
    thread.consumer = SimpleNamespace(flow_active=True)
    return thread, SimpleNamespace(_fetcher=FakeFetcher(logs), _closed=False)


A, B = TP("t", 0), TP("t", 1)


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_one_batch_for_each_partition_whatever_lies_ready() -> None:
    logs = {A: Log(list(range(500))), B: Log(list(range(3)))}
    thread, consumer = thread_of(FetchSettings(), logs)
    found = run(thread._fetch(consumer, {A, B}, 1.0))
    assert {tp: (b.first_offset, b.next_offset, len(b)) for tp, (b,) in found.items()} == {
        A: (0, 500, 500),
        B: (0, 3, 3),
    }
    assert list(found[A][0].offsets) == list(range(500))


@pytest.mark.parametrize(
    ("records", "size", "limit"), [(100, 10, 1 << 20), (10_000, 1000, 50_000), (10_000, 200_000, 50_000)]
)
def test_a_batch_is_bounded_by_records_and_by_bytes(records: int, size: int, limit: int) -> None:
    thread, consumer = thread_of(
        FetchSettings(records=records, bytes=limit), {A: Log(list(range(3000)), size)}
    )
    batch = run(thread._fetch(consumer, {A}, 1.0))[A][0]
    assert len(batch) <= records
    # The first piece is taken before sizes are known; from then on no more than the bound and one record.
    assert batch.bytes <= max(limit + size, 64 * size)
    assert batch.bytes == len(batch) * size


def test_consecutive_batches_join_and_take_everything_once() -> None:
    offsets = [o for o in range(400) if o % 7]
    thread, consumer = thread_of(FetchSettings(records=50), {A: Log(offsets, end=401)})
    seen, at = [], 0
    while found := run(thread._fetch(consumer, {A}, 0.0)):
        batch = found[A][0]
        assert batch.first_offset == at
        seen += list(batch.offsets)
        at = batch.next_offset
    assert seen == offsets
    assert at == 401


def test_offsets_without_records_are_accounted_for() -> None:
    """A transaction's marker at the end moves the position and brings nothing."""
    log = Log([], end=7)
    thread, consumer = thread_of(FetchSettings(), {A: log})
    batch = run(thread._fetch(consumer, {A}, 1.0))[A][0]
    assert (batch.first_offset, batch.next_offset, len(batch), batch.skips_first) == (0, 7, 0, True)


def test_nobody_is_first_twice_in_a_row() -> None:
    logs = {A: Log(list(range(10_000))), B: Log(list(range(10_000)))}
    thread, consumer = thread_of(FetchSettings(records=64), logs)
    firsts = []
    for _ in range(4):
        consumer._fetcher.asked.clear()
        run(thread._fetch(consumer, {A, B}, 1.0))
        firsts.append(consumer._fetcher.asked[0][0][0])
    assert firsts[0] != firsts[1]
    assert firsts[1] != firsts[2]


def test_a_partition_without_room_is_not_asked() -> None:
    logs = {A: Log(list(range(10))), B: Log(list(range(10)))}
    thread, consumer = thread_of(FetchSettings(), logs)
    assert set(run(thread._fetch(consumer, {B}, 1.0))) == {B}
    assert logs[A].state.position == 0


def test_a_seek_in_the_middle_of_a_fetch_drops_what_was_taken_before() -> None:
    log = Log(list(range(1000)))
    thread, consumer = thread_of(FetchSettings(records=200), {A: log})

    async def fetch() -> Any:
        original = consumer._fetcher.fetched_records

        async def second_time_sought(partitions: Any, timeout: float = 0, max_records: int = 1) -> Any:
            if len(consumer._fetcher.asked) == 1:
                log.state.position = thread.ends[A] = 5
                thread.epochs[A] = 2
            return await original(partitions, timeout, max_records)

        consumer._fetcher.fetched_records = second_time_sought
        first = await thread._fetch(consumer, {A}, 0.0)
        # Taking after the seek went on from its target; that is handed over by no batch, and must not look joined.
        return first, await thread._fetch(consumer, {A}, 0.0)

    first, second = run(fetch())
    taken = [*first.get(A, ()), *second.get(A, ())]
    assert all(batch.epoch == 2 for batch in taken)
    assert not [batch for batch in taken if len(batch) and batch.first_offset != batch.offsets[0]]


def test_a_position_that_moved_by_itself_is_a_jump_and_no_gap() -> None:
    log = Log(list(range(1000)))
    thread, consumer = thread_of(FetchSettings(records=64), {A: log})
    run(thread._fetch(consumer, {A}, 0.0))
    log.state.position = 500  # the client's reset to the log's start
    batch = run(thread._fetch(consumer, {A}, 0.0))[A][0]
    assert (batch.jumped, batch.first_offset, len(batch)) == (True, 64, 0)
    # And it stays so until somebody seeks.
    assert run(thread._fetch(consumer, {A}, 0.0))[A][0].jumped


def test_a_failed_fetch_leaves_no_hole_that_looks_like_a_gap() -> None:
    log = Log(list(range(1000)))
    thread, consumer = thread_of(FetchSettings(records=500), {A: log})
    original = consumer._fetcher.fetched_records

    async def failing(partitions: Any, timeout: float = 0, max_records: int = 1) -> Any:
        if len(consumer._fetcher.asked) == 1:
            msg = "corrupt batch"
            raise RuntimeError(msg)
        return await original(partitions, timeout, max_records)

    consumer._fetcher.fetched_records = failing
    with pytest.raises(RuntimeError, match="corrupt"):
        run(thread._fetch(consumer, {A}, 1.0))
    # Records were taken and lost. Until it is sought again this partition hands nothing out.
    consumer._fetcher.fetched_records = original
    assert run(thread._fetch(consumer, {A}, 0.0)) == {}


def test_nothing_is_fetched_while_the_flow_is_stopped_or_partitions_move() -> None:
    log = Log(list(range(10)))
    thread, consumer = thread_of(FetchSettings(), {A: log})
    thread.consumer.flow_active = False
    assert run(thread._fetch(consumer, {A}, 1.0)) == {}
    thread.consumer.flow_active = True
    consumer._fetcher._subscriptions.reassignment_in_progress = True
    assert run(thread._fetch(consumer, {A}, 1.0)) == {}
    assert log.state.position == 0


def test_what_is_committed_is_the_ledgers_head_and_acks_change_nothing() -> None:
    consumer = ChainConsumer.__new__(ChainConsumer)
    heads = {A: 40, B: None}
    consumer.transport = SimpleNamespace(
        ledger=SimpleNamespace(head=heads.get, committable=lambda: list(heads))
    )
    consumer._unacked_messages = set()
    consumer._waiting_for_ack = None
    consumer._committed_offset = {A: None, B: None}
    message = Mock(acked=False, tp=A, offset=90, topic="t")
    assert consumer.ack(message)
    assert consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks()) == {A: 40}
    assert consumer._filter_tps_with_pending_acks({"t"}) == [A, B]
    assert consumer._filter_tps_with_pending_acks({"other"}) == []


def test_read_offsets_are_never_remembered() -> None:
    offsets = ForgetfulOffsets()
    offsets[A] = 100
    assert offsets[A] is None
    assert offsets.get(A, 7) is None


@pytest.mark.parametrize("name", ["records", "bytes", "total_bytes", "wait_ms"])
def test_a_fetch_of_nothing_is_refused(name: str) -> None:
    from pipeline.errors import UsageError

    with pytest.raises(UsageError, match="at least 1"):
        FetchSettings(**{name: 0})
