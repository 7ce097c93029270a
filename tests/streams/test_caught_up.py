"""`--until-caught-up`: whoever says so has landed it, or ends with an error."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stream_bench import FACTS, PLACE, Bench

from streams.deployment import CAUGHT_UP, Deployment

if TYPE_CHECKING:
    import pytest

ENDS = replace(FACTS, ends={0: 50})


async def caught_up(bench: Bench) -> Deployment:
    """A deployment that holds everything and has landed nothing."""
    await bench.worker.stop(land=False, roll_up=False, seconds=5)
    bench.broker.now = ENDS
    deployment = Deployment(bench.services, ENDS, until_caught_up=True)
    await deployment.assigned({PLACE})
    deployment.offer(bench.batch(0, 50))
    outcome = await asyncio.wait_for(deployment.outcome, 20)
    assert (outcome.error, outcome.reason) == (None, CAUGHT_UP)
    assert bench.lake.head(FACTS.topic_id, 0) == 0
    return deployment


def test_what_was_held_is_landed_at_the_stop(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        deployment = await caught_up(bench)
        await deployment.close(20)
        assert deployment.error is None
        assert bench.lake.head(FACTS.topic_id, 0) == 50

    play(scene, segment_records=1000)


def test_a_stop_that_could_not_land_is_an_error(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(bench: Bench) -> None:
        deployment = await caught_up(bench)

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(bench.lake.store, "_link", full)
        await deployment.close(0.2)
        assert "partition 0 up to offset 0 of 50" in str(deployment.error)

    play(scene, segment_records=1000)


def test_a_stop_before_the_end_is_an_error_too(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.worker.stop(land=False, roll_up=False, seconds=5)
        bench.broker.now = ENDS
        deployment = Deployment(bench.services, ENDS, until_caught_up=True)
        await deployment.assigned({PLACE})
        deployment.offer(bench.batch(0, 30))
        worker = deployment.workers[PLACE]
        await bench.until(lambda: worker.lander.next_offset == 30)
        await deployment.close(20)
        assert "partition 0 up to offset 30 of 50" in str(deployment.error)

    play(scene, segment_records=1000)


def test_partitions_of_other_workers_are_their_business(play: Any) -> None:
    async def scene(bench: Bench) -> None:
        await bench.worker.stop(land=False, roll_up=False, seconds=5)
        both = replace(FACTS, starts={0: 0, 1: 0}, ends={0: 50, 1: 70})
        bench.broker.now = both
        deployment = Deployment(bench.services, both, until_caught_up=True)
        await deployment.assigned({PLACE})
        deployment.offer(bench.batch(0, 50))
        await asyncio.wait_for(deployment.outcome, 20)
        await deployment.close(20)
        assert deployment.error is None

    play(scene, segment_records=1000)
