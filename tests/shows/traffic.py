"""Records for the shows: invented accounts, event times out of order, embeddings on the grid."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from pipeline.kafka import topics
from pipeline.records.encode import encode_json
from pipeline.records.grid import quantise
from pipeline.spaces import EmbeddingSpace

START = datetime(2026, 1, 5)


def table(
    count: int,
    seed: int,
    *,
    accounts: int = 2000,
    hours: float = 72,
    prefix: str = "r",
    live_from: datetime | None = None,
) -> pa.Table:
    """``count`` records; accounts are unequally busy, event times jump back and forth over ``hours`` hours.

    With ``live_from`` they advance as a live stream's do, from there on, each up to a minute early or late.
    """
    rng = np.random.default_rng(seed)
    space = EmbeddingSpace()
    # Few directions and noise: as cheap as noise alone, and topics come out unequal, as in life.
    centres = rng.standard_normal((64, space.dimension)).astype(np.float32)
    vectors = centres[rng.integers(0, len(centres), count)]
    vectors += rng.standard_normal((count, space.dimension), dtype=np.float32)
    q = quantise(vectors, space)
    account = (accounts * rng.random(count) ** 2).astype(np.int64)
    second = rng.integers(0, int(hours * 3600), count)
    if live_from is not None:
        second = np.sort(second) + rng.integers(-60, 60, count)
    return pa.table(
        {
            "request_id": [f"{prefix}{seed}-{i}" for i in range(count)],
            "account_id": [f"account-{a:05d}" for a in account],
            "event_time": pa.array(
                [(live_from or START) + timedelta(seconds=int(s)) for s in second], pa.timestamp("us")
            ),
            "embedding": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(space.dimension), count, [None, pa.py_buffer(q.tobytes())]
            ),
            "model": pa.array([f"model-{m}" for m in rng.integers(0, 3, count)]),
            "input_tokens": pa.array(rng.integers(1, 4000, count)),
            "output_tokens": pa.array(rng.integers(1, 2000, count)),
            "temperature": pa.array(rng.choice([0.0, 0.7, 1.0], count)),
            "prompt_hash": pa.array(rng.integers(0, 2**63, count, dtype=np.uint64)),
            "client_network": pa.array([f"198.51.100.{n}" for n in rng.integers(0, 256, count)]),
            "status": pa.array(["200"] * count),
            "latency_ms": pa.array(rng.integers(50, 9000, count)),
        }
    )


def messages(records: pa.Table) -> list[tuple[bytes, bytes]]:
    """(key, value) of each record, as single JSON messages."""
    keys = [account.encode() for account in records.column("account_id").to_pylist()]
    return list(zip(keys, encode_json(records), strict=True))


def new_topic(bootstrap: str, name: str, partitions: int = 4) -> None:
    """A topic configured like ``llm-api-logs``, under another name."""
    logs = next(topic for topic in topics.defined() if topic.name == topics.LOGS)
    topics.apply(bootstrap, topics=[replace(logs, name=name, partitions=partitions)])
