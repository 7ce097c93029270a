"""Records, lakes and landers for the tests of the lake; also for the processes that those tests start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.clock import ManualClock
from pipeline.engine import Engine
from pipeline.lake import Lake
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.parameters import Parameters
from pipeline.records.schema import (
    OPTIONAL_FIELDS,
    REJECTED_SCHEMA,
    Decoded,
    record_schema,
)
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.lake.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC, TOPIC_ID, CLUSTER = "llm-api-logs", "AAAAAAAAAAAAAAAAAAAAAA", "cluster-1"
SPACE = EmbeddingSpace("test-model", 8)
NEVER = LandingSettings(segment_records=10**9, segment_bytes=10**12, segment_seconds=1e9)


@cache
def parameters(space: EmbeddingSpace = SPACE) -> Parameters:
    return Parameters.generate(space, seed="tests")


def engine(space: EmbeddingSpace = SPACE) -> Engine:
    return Engine(parameters(space))


def make_records(
    count: int,
    *,
    seed: int = 0,
    accounts: int = 12,
    hours: int = 30,
    topic_id: str = TOPIC_ID,
    topic: str = TOPIC,
    partition: int = 0,
    first: int = 0,
    space: EmbeddingSpace = SPACE,
    offsets: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    skew: float = 0.25,
) -> pa.Table:
    """Records in order of offset; event times jump back and forth over ``hours``, accounts of very unequal size."""
    rng = np.random.default_rng([seed, count, partition])
    vectors = rng.standard_normal((count, space.dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12
    q = np.clip(np.rint(vectors * space.scale), -127, 127).astype(np.int8)
    number = np.minimum(rng.geometric(skew, count) - 1, accounts - 1)
    names = np.array([f"account-{i:03d}{'é' if i % 3 else '日本'}" for i in range(accounts)], dtype=object)
    # Most of them around midnight, so that some windows have many records and both dates have some.
    busy = rng.random(count) < 0.6
    hour = np.where(busy, 22 + rng.random(count) * 4, rng.random(count) * hours)
    times = np.datetime64(START.replace(tzinfo=None), "us") + (hour * 3600 * 10**6).astype(np.int64)
    offsets = first + np.arange(count) if offsets is None else offsets

    def some(values: Any, share: float = 0.8) -> list[Any]:
        keep = rng.random(count) < share
        return [v if k else None for v, k in zip(values, keep, strict=True)]

    hashes = rng.integers(0, 2**63, 200, dtype=np.uint64)
    columns: dict[str, Any] = {
        "topic_id": [topic_id] * count,
        "topic": [topic] * count,
        "partition": pa.array(np.full(count, partition, np.int32)),
        "offset": pa.array(np.asarray(offsets, np.int64)),
        "row": pa.array(np.zeros(count, np.int32) if rows is None else np.asarray(rows, np.int32)),
        "request_id": [f"r{i}" for i in rng.integers(0, max(1, count), count)],
        "account_id": list(names[number]),
        "event_time": pa.array(times),
        "embedding": [row.tobytes() for row in q],
        "input_tokens": some(rng.integers(0, 5000, count).tolist()),
        "output_tokens": some(rng.integers(0, 5000, count).tolist()),
        "temperature": some(rng.choice([0.0, 0.7, 1.0], count).tolist()),
        "choice_count": some(rng.integers(1, 4, count).tolist()),
        "stream": some((rng.random(count) < 0.5).tolist()),
        "prompt_hash": some([int(h) for h in rng.choice(hashes, count)]),
        "template_hash": some([int(h) for h in rng.choice(hashes[:20], count)]),
        "client_network": some([f"10.{i}.0.0/16" for i in rng.integers(0, 9, count)]),
        "status": some(rng.choice(["ok", "error", "429", "refused"], count).tolist()),
        "language": some(rng.choice(["en", "de", "en-GB"], count).tolist()),
        "latency_ms": some(rng.integers(1, 10_000, count).tolist()),
        "model": some(rng.choice(["m-1", "m-2"], count).tolist()),
    }
    for field in OPTIONAL_FIELDS:
        columns.setdefault(field.name, pa.nulls(count, field.type))
    schema = record_schema(space)
    return pa.table(
        {field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema
    )


def make_rejected(
    offsets: list[int], *, topic_id: str = TOPIC_ID, topic: str = TOPIC, partition: int = 0
) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "topic_id": topic_id, "topic": topic, "partition": partition, "offset": offset, "row": 0,
                "reason": "not_json", "detail": "no", "raw": b"{" + bytes([offset % 256]), "raw_bytes": 2,
            }
            for offset in offsets
        ],
        schema=REJECTED_SCHEMA,
    )  # fmt: skip


def decoded(records: pa.Table, rejected: pa.Table | None = None) -> Decoded:
    return Decoded(records, REJECTED_SCHEMA.empty_table() if rejected is None else rejected, {})


def part(records: pa.Table, low: int, high: int) -> Decoded:
    """The records of offsets ``low`` to ``high - 1``."""
    offsets = records.column("offset").to_numpy()
    return decoded(records.filter(pa.array((offsets >= low) & (offsets < high))))


def make_lake(
    path: Path, *, clock: Any = None, store: Store | None = None, space: EmbeddingSpace = SPACE
) -> Lake:
    return Lake.create(
        path,
        parameters=parameters(space),
        clock=clock or ManualClock(START + timedelta(days=40)),
        store=store,
    )


def make_lander(
    lake: Lake,
    *,
    partition: int = 0,
    topic: str = TOPIC,
    topic_id: str = TOPIC_ID,
    settings: LandingSettings = NEVER,
    clock: Any = None,
    begin: int | None = 0,
) -> PartitionLander:
    clock = clock or lake.clock
    if begin is not None:
        lake.begin(topic_id, partition, topic=topic, start=begin, cluster_id=CLUSTER)
    return PartitionLander(
        lake,
        engine(lake.config.space),
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        cluster_id=CLUSTER,
        settings=settings,
        clock=clock,
    )
