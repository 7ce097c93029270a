"""Rejected records, repeated to a topic so that whoever produced them hears of it.

The proof lies in the lake: a rejected record lands in its segment like any other. The topic repeats it at
least once, because a batch is accepted only after Kafka has acknowledged its dead letters; after a crash in
between they are sent again. The key is the position, so a compacted topic keeps one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pipeline import metrics as m

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    import pyarrow as pa

    from pipeline.metrics import Metrics

logger = logging.getLogger(__name__)

# Enough to see what it was; all of it, up to the decoder's own bound, is in the lake.
RAW_BYTES = 16 << 10
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0


class Send(Protocol):
    """Hands one message to the producer; what it returns is done when Kafka has it."""

    async def __call__(self, topic: str, key: bytes, value: bytes) -> Awaitable[Any]:
        """Queue it."""
        ...


def letters(rejected: pa.Table) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each rejected record's message.

    The key is ``<topic id>/<partition>/<offset>/<row>``. The value is a JSON object with ``topic``,
    ``topic_id``, ``partition``, ``offset``, ``row``, ``reason``, ``detail``, ``raw`` (base64 of at most the
    first 16 KiB), ``raw_bytes`` (the true length) and ``truncated``.
    """
    for row in rejected.to_pylist():
        raw = row["raw"] or b""
        length = row["raw_bytes"] if row["raw_bytes"] is not None else len(raw)
        value = {
            "topic": row["topic"],
            "topic_id": row["topic_id"],
            "partition": row["partition"],
            "offset": row["offset"],
            "row": row["row"],
            "reason": row["reason"],
            "detail": row["detail"],
            "raw": base64.b64encode(raw[:RAW_BYTES]).decode(),
            "raw_bytes": length,
            "truncated": length > min(len(raw), RAW_BYTES),
        }
        key = f"{row['topic_id']}/{row['partition']}/{row['offset']}/{row['row']}"
        yield key.encode(), msgspec.json.encode(value)


class DeadLetters:
    """Sends rejected records and does not rest until Kafka has them.

    Parameters
    ----------
    topic
        Where to; None sends nothing.
    send
        The producer.
    metrics
        Counts what was sent and what failed.
    """

    def __init__(self, topic: str | None, send: Send, metrics: Metrics) -> None:
        self.topic = topic
        self._send = send
        self._metrics = metrics
        self.failing: str | None = None

    async def publish(self, rejected: pa.Table) -> None:
        """Return when every rejected record is acknowledged; failures are retried without end."""
        if self.topic is None or not rejected.num_rows:
            return
        waiting = list(letters(rejected))
        where = rejected.column("topic")[0].as_py(), rejected.column("partition")[0].as_py()
        pause = FIRST_PAUSE
        while True:
            before = len(waiting)
            waiting, error = await self._attempt(self.topic, waiting)
            self._metrics.add(m.DEAD_LETTERS, before - len(waiting), *where)
            if error is None:
                self.failing = None
                return
            self.failing = f"cannot send to the dead-letter topic {self.topic}: {error!r}"
            self._metrics.add(m.DEAD_LETTER_FAILURES, 1, *where)
            logger.warning("%s; %d records wait, next try in %.1f s", self.failing, len(waiting), pause)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _attempt(
        self, topic: str, messages: list[tuple[bytes, bytes]]
    ) -> tuple[list[tuple[bytes, bytes]], BaseException | None]:
        """What of it has to be sent again, and the last error."""
        sent: list[tuple[tuple[bytes, bytes], Awaitable[Any]]] = []
        again: list[tuple[bytes, bytes]] = []
        problem: BaseException | None = None
        for each in messages:
            try:
                sent.append((each, await self._send(topic, *each)))
            except Exception as error:
                again.append(each)
                problem = error
        for each, acknowledged in sent:
            try:
                await acknowledged
            except Exception as error:
                again.append(each)
                problem = error
        return again, problem
