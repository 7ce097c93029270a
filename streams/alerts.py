"""Live alerts: to the lake under their id, then to the topic, so that each is raised once however often it is seen.

What is to be sent lies under ``unsent/`` in the lake until Kafka has it. An alert is sent at least once: whoever
stops in between leaves it to the next worker that starts.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline import metrics as m
from pipeline.lake.paths import ALERTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from pipeline.lake import Lake
    from pipeline.metrics import Metrics
    from streams.dead_letter import Send

logger = logging.getLogger(__name__)

UNSENT = "unsent"
"""Folder of the lake with the alerts that Kafka has not acknowledged yet."""


class Alerts:
    """Publishes what a `LiveScorer` raised.

    Parameters
    ----------
    topic
        Where to; None writes to the lake only.
    """

    def __init__(self, topic: str | None, lake: Lake, send: Send, metrics: Metrics) -> None:
        self.topic = topic
        self._lake = lake
        self._send = send
        self._metrics = metrics
        self._waiting: dict[str, Mapping[str, Any]] = {}

    @property
    def waiting(self) -> int:
        """Alerts that are not in the lake, or not acknowledged by Kafka."""
        return len(self._waiting)

    def load(self) -> None:
        """Take up what earlier workers left unsent. Blocks."""
        if self.topic is None:
            return
        for name in self._lake.store.names(UNSENT):
            data = self._lake.store.read_bytes(f"{UNSENT}/{name}")
            if data:
                alert = json.loads(data)
                self._waiting.setdefault(str(alert["alert_id"]), alert)

    async def publish(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Take alerts, and bring everything that waits into the lake and to Kafka.

        Raises
        ------
        Exception
            The first thing that went wrong. What it concerns waits for the next call, everything else is done.
        """
        for alert in alerts:
            self._waiting.setdefault(str(alert["alert_id"]), alert)
        sent: list[tuple[str, Awaitable[Any] | None]] = []
        problem: Exception | None = None
        for alert_id, alert in list(self._waiting.items()):
            try:
                value = self._land(alert_id, alert)
                if value is None or self.topic is None:
                    sent.append((alert_id, None))
                else:
                    sent.append((alert_id, await self._send(self.topic, alert_id.encode(), value)))
            except Exception as error:
                problem = problem or error
        for alert_id, acknowledged in sent:
            try:
                if acknowledged is not None:
                    await acknowledged
                    self._lake.store.delete(f"{UNSENT}/{alert_id}.json")
                self._waiting.pop(alert_id, None)
            except Exception as error:
                problem = problem or error
        if problem is not None:
            raise problem

    def _land(self, alert_id: str, alert: Mapping[str, Any]) -> bytes | None:
        """Put an alert into the lake; what is to be sent, None if it was raised and sent before."""
        store, key, unsent = self._lake.store, f"{ALERTS}/{alert_id}.json", f"{UNSENT}/{alert_id}.json"
        value = msgspec.json.encode(alert)
        if store.exists(key):
            return value if store.exists(unsent) else None
        # First what says that it is to be sent: an alert without it counts as sent.
        if self.topic is not None:
            store.put_bytes(value, unsent)
        if store.put_bytes(msgspec.json.format(value, indent=2), key):
            self._metrics.add(m.ALERTS, 1, str(alert["detector"]))
            logger.warning(
                "alert %s: %s %s",
                alert_id,
                alert.get("subject_kind", "account"),
                alert.get("subject_id", "?"),
            )
        return value
