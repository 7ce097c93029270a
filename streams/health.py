"""``/health`` and ``/metrics`` on Faust's web server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import metrics as m

if TYPE_CHECKING:
    import faust

    from pipeline.metrics import Metrics
    from streams.dead_letter import DeadLetters
    from streams.deployment import Deployment


def state(deployment: Deployment, dead_letters: DeadLetters, *, rebalancing: bool) -> dict[str, Any]:
    """What is, and what is wrong with it; healthy when nothing is.

    ``lag`` counts offsets between the landed chain's head and the end of the log as of the last fetch. A lag
    is a fact, not an illness: a worker that is catching up is healthy.
    """
    problems = dict(deployment.problems)
    if not deployment.assigned_once:
        problems["assignment"] = f"no partitions of {deployment.topic} were assigned yet"
    elif rebalancing:
        problems["assignment"] = "the group is rebalancing"
    if deployment.closing:
        problems["stopping"] = "this worker is landing what it holds and stops"
    if deployment.error is not None:
        problems["failed"] = str(deployment.error)
    if dead_letters.failing is not None:
        problems["dead_letters"] = dead_letters.failing
    partitions = {}
    for tp, worker in sorted(deployment.workers.items()):
        head, end = worker.lander.head or 0, worker.highwater
        partitions[str(tp.partition)] = {
            "head": head,
            "log_end": end if end >= 0 else None,
            "lag": max(0, end - head) if end >= 0 else None,
            "held_records": worker.lander.held_records,
        }
        if worker.failing is not None:
            problems[f"partition {tp.partition}"] = worker.failing
    return {
        "healthy": not problems,
        "problems": problems,
        "topic": deployment.topic,
        "topic_id": deployment.facts.topic_id,
        "partitions": partitions,
    }


def attach(
    app: faust.App,
    deployment: Deployment,
    dead_letters: DeadLetters,
    metrics: Metrics,
    *,
    host: str,
    port: int,
) -> None:
    """Serve both pages; port 0 takes a free one, see `addresses`."""
    from aiohttp.web import TCPSite

    # Faust refuses port 0, and a free port that is looked for beforehand may be taken by the time it is bound.
    app.web._transport_handlers["tcp"] = lambda: TCPSite(app.web._runner, host, port)  # noqa: SLF001

    @app.page("/health")  # type: ignore[untyped-decorator]
    async def health(self: Any, _request: Any) -> Any:
        found = state(deployment, dead_letters, rebalancing=bool(app.rebalancing))
        return self.json(found, status=200 if found["healthy"] else 503)

    @app.page("/metrics")  # type: ignore[untyped-decorator]
    async def show_metrics(self: Any, _request: Any) -> Any:
        found = state(deployment, dead_letters, rebalancing=bool(app.rebalancing))
        metrics.set(m.HEALTHY, bool(found["healthy"]))
        memory = _resident_bytes()
        if memory is not None:
            metrics.set(m.MEMORY, memory)
        return self.text(metrics.render(), content_type="text/plain; version=0.0.4")


def addresses(app: faust.App) -> list[tuple[str, int]]:
    """Where the web server listens, once the app has started."""
    return [(str(each[0]), int(each[1])) for each in app.web._runner.addresses]  # noqa: SLF001


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not tell."""
    import resource
    from pathlib import Path

    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()
