"""Live looks, beside landing and never in its way: accounts that are due wait in a set, one thread judges them.

When judging cannot keep up, accounts wait together and are judged once by what they have sent by then. Which look that
is depends on arrival anyway; an alert names the records it was judged by.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pipeline import metrics as m

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from pipeline.metrics import Metrics
    from streams.alerts import Alerts
    from streams.scoring import LiveScorer

logger = logging.getLogger(__name__)

# Accounts judged in one go: bounds how long a stop may have to wait for one, and the memory of their profiles.
AT_ONCE = 256


class Looks:
    """Who is due, and the task that judges them.

    Parameters
    ----------
    held
        Gives the tables of records that are accepted and not landed, over all partitions owned.
    """

    def __init__(
        self, scorer: LiveScorer, alerts: Alerts, metrics: Metrics, held: Callable[[], Sequence[pa.Table]]
    ) -> None:
        self._scorer = scorer
        self._alerts = alerts
        self._metrics = metrics
        self._held = held
        self._due: set[str] = set()
        # Partitions are worked on in several threads, and the scorer counts in a plain dictionary.
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="looks")
        self._wake = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="looks")

    def observe(self, accepted: pa.Table) -> None:
        """Count accepted records. Called from landing threads."""
        try:
            with self._lock:
                due = self._scorer.observe(accepted)
                self._due.update(due)
        except Exception:
            self._failed()
            return
        if due:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def close(self, seconds: float) -> None:
        """Judge who is due still, as far as the time goes."""
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait([self._task])
        except TimeoutError:
            self._task.cancel()
            logger.warning(
                "%d accounts were not looked at before the stop; `distillwatch score` will", len(self._due)
            )
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while self._due or not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                await self._judge()

    async def _judge(self) -> None:
        with self._lock:
            accounts = sorted(self._due)[:AT_ONCE]
            self._due.difference_update(accounts)
        try:
            # First what is held, then (inside) what is landed: landed in between, it is in both and counted once.
            alerts = await self._loop.run_in_executor(self._pool, self._look, accounts)
            await self._alerts.publish(alerts)
        except Exception:
            self._failed()

    def _look(self, accounts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        return self._scorer.look(accounts, self._held())

    def _failed(self) -> None:
        self._metrics.add(m.SCORING_FAILURES, 1)
        logger.exception(
            "live scoring failed; landing goes on, and `distillwatch score` finds what it missed"
        )
