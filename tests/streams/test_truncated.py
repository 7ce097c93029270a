"""A log that ends before what is landed: it was truncated, and will hold other records under the same offsets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from stream_bench import FACTS, PLACE, Bench

from pipeline.errors import ForeignTopic
from streams import partition
from streams.deployment import Deployment


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of questions in less time."""
    monkeypatch.setattr(partition, "END_PAUSE", 0.01)
    monkeypatch.setattr(partition, "END_PATIENCE_SECONDS", 0.05)


def test_a_fetch_that_jumps_finds_it_and_the_worker_stops(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 50)
        await bench.until(lambda: bench.worker.lander.head == 50)
        bench.broker.now = replace(FACTS, ends={0: 30})
        bench.worker.offer(bench.batch(50, 50, jumped=True, highwater=30))
        await bench.until(lambda: bench.errors or bench.seeks)
        assert isinstance(bench.errors[0], ForeignTopic)
        assert "up to 49 are landed" in str(bench.errors[0])
        assert "ends at 30" in str(bench.errors[0])
        assert bench.seeks == []

    play(scene)


def test_a_new_leader_that_catches_up_is_waited_for(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "END_PATIENCE_SECONDS", 60.0)

    async def scene(bench: Bench) -> None:
        await bench.feed(0, 50)
        await bench.until(lambda: bench.worker.lander.head == 50)
        ends = iter([30, 30, 49])
        asked = []

        def facts(_topic: str) -> Any:
            asked.append(next(ends, 50))
            return replace(FACTS, ends={0: asked[-1]})

        monkeypatch.setattr(bench.broker, "facts", facts)
        bench.worker.offer(bench.batch(50, 50, jumped=True))
        await bench.until(lambda: bench.errors or bench.seeks)
        assert bench.errors == []
        assert bench.seeks == [{PLACE: 50}]
        assert asked[:4] == [30, 30, 49, 50]

    play(scene)


def test_records_that_are_only_held_are_read_again_from_the_shorter_log(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 20)
        bench.broker.now = replace(FACTS, ends={0: 10})
        bench.worker.offer(bench.batch(20, 20, jumped=True))
        await bench.until(lambda: bench.errors or bench.seeks)
        assert bench.errors == []
        assert bench.seeks == [{PLACE: 0}]
        assert bench.worker.lander.held_records == 0

    play(scene)


def test_the_watch_finds_it_although_nothing_is_fetched(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.feed(0, 50)
        await bench.until(lambda: bench.worker.lander.head == 50)
        deployment = Deployment(bench.services, FACTS)
        deployment.workers = {PLACE: bench.worker}
        bench.broker.now = replace(FACTS, ends={0: 49})
        await deployment.watch("group")
        assert "ends at 49" in deployment.problems["log"]
        assert not deployment.outcome.done()
        bench.broker.now = replace(FACTS, ends={0: 50})
        await deployment.watch("group")
        assert deployment.problems == {}
        bench.broker.now = replace(FACTS, ends={0: 49})
        await deployment.watch("group")
        bench.clock.advance(11)
        await deployment.watch("group")
        assert isinstance((await asyncio.wait_for(deployment.outcome, 5)).error, ForeignTopic)

    play(scene)


def test_what_is_landed_while_kafka_is_asked_is_no_truncation(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(bench: Bench) -> None:
        deployment = Deployment(bench.services, FACTS)
        deployment.workers = {PLACE: bench.worker}
        loop, plain = asyncio.get_running_loop(), bench.broker.facts

        async def land() -> None:
            await bench.feed(0, 50)
            await bench.until(lambda: bench.worker.lander.head == 50)

        def facts(_topic: str) -> Any:
            # The next who asks is the worker before its put.
            monkeypatch.setattr(bench.broker, "facts", plain)
            asyncio.run_coroutine_threadsafe(land(), loop).result(20)
            return replace(FACTS, ends={0: 10})

        monkeypatch.setattr(bench.broker, "facts", facts)
        await deployment.watch("group")
        assert bench.worker.lander.head == 50
        assert "log" not in deployment.problems

    play(scene)
