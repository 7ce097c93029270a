"""Live looks, beside landing and never in its way: accounts that are due wait in a set, one thread judges them.

When judging cannot keep up, accounts wait together and are judged once by what they have sent by then. Which look that
is depends on arrival anyway; an alert names the records it was judged by. Who could not be looked at because the lake
did not answer stays due, and an alert that could not be sent waits: both are tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
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
# Until what could not be read or sent is tried again.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


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
        if self._alerts.waiting:
            logger.warning(
                "%d alerts were not sent before the stop; the next worker on this lake sends those that are in it",
                self._alerts.waiting,
            )
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        try:
            await self._loop.run_in_executor(self._pool, self._alerts.load)
        except Exception:
            self._failed()
        while True:
            self._wake.clear()
            good = await self._round()
            if self._closing and not (good and self._due):
                return
            pause = FIRST_PAUSE if good else min(LONGEST_PAUSE, pause * 2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if good else pause):
                    await self._wake.wait()

    async def _round(self) -> bool:
        """Judge who is due and send what waits; False if something is to be tried again."""
        while self._due:
            if not await self._judge():
                return False
        return await self._publish([])

    async def _judge(self) -> bool:
        with self._lock:
            accounts = sorted(self._due)[:AT_ONCE]
            self._due.difference_update(accounts)
        try:
            # First what is held, then (inside) what is landed: landed in between, it is in both and counted once.
            alerts = await self._loop.run_in_executor(self._pool, self._look, accounts)
        except OSError:
            self._failed()
            with self._lock:
                self._due.update(accounts)
            return False
        except Exception:
            # Trying again would fail again.
            self._failed()
            return True
        await self._publish(alerts)
        return True

    async def _publish(self, alerts: Sequence[Mapping[str, Any]]) -> bool:
        if not alerts and not self._alerts.waiting:
            return True
        try:
            await self._alerts.publish(alerts)
        except Exception as error:
            self._metrics.add(m.SCORING_FAILURES, 1)
            logger.warning("%d alerts wait, they could not be sent: %r", self._alerts.waiting, error)
            return False
        return True

    def _look(self, accounts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        return self._scorer.look(accounts, self._held())

    def _failed(self) -> None:
        self._metrics.add(m.SCORING_FAILURES, 1)
        logger.exception(
            "live scoring failed; landing goes on, and `distillwatch score` finds what it missed"
        )
