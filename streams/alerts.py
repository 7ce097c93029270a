"""Live alerts: to the topic, and to the lake under their id, so that each is raised once however often it is seen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline import metrics as m

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.lake import Lake
    from pipeline.metrics import Metrics
    from streams.dead_letter import Send

logger = logging.getLogger(__name__)


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

    async def publish(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Topic first, then lake: an alert in the lake was sent; after a crash in between it is sent again."""
        for alert in alerts:
            key = f"alerts/{alert['alert_id']}.json"
            if self._lake.store.exists(key):
                continue
            value = msgspec.json.encode(alert)
            if self.topic is not None:
                await (await self._send(self.topic, str(alert["alert_id"]).encode(), value))
            if self._lake.store.put_bytes(msgspec.json.format(value, indent=2), key):
                self._metrics.add(m.ALERTS, 1, str(alert["detector"]))
                logger.warning(
                    "alert %s: %s %s",
                    alert["alert_id"],
                    alert.get("subject_kind", "account"),
                    alert.get("subject_id", "?"),
                )
