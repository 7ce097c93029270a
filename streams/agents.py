"""What Faust calls: the agent that hands batches on, the signals of a rebalance, the timers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.app import batch_topic

if TYPE_CHECKING:
    import faust

    from streams.deployment import Deployment
    from streams.settings import WorkerSettings

TICK_SECONDS = 0.5


def attach(app: faust.App, deployment: Deployment, settings: WorkerSettings) -> None:
    """Connect an app to a deployment."""
    topic = batch_topic(app, settings.topic)

    @app.agent(topic, name="landing")  # type: ignore[untyped-decorator]
    async def landing(stream: Any) -> None:
        # Never blocks: a partition without room is not fetched from, so it cannot hold up the others.
        async for batch in stream:
            deployment.offer(batch)

    @app.on_partitions_revoked.connect(weak=False)  # type: ignore[untyped-decorator]
    async def give_up(*_: Any, **__: Any) -> None:
        if not deployment.closing:
            await deployment.revoked(land=True)

    @app.timer(TICK_SECONDS, name="due")  # type: ignore[untyped-decorator]
    async def due() -> None:
        await deployment.tick()

    @app.timer(settings.check_seconds, name="watch")  # type: ignore[untyped-decorator]
    async def watch() -> None:
        await deployment.watch(settings.group)
