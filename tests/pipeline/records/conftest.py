from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.records.decode import RecordDecoder
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.records.schema import Decoded

# Small, so that a test's message can be read; every rule is the same at 384.
SPACE = EmbeddingSpace("toy", 16)
START = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


def vectors(n: int, seed: int, d: int = SPACE.dimension) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def plain_grid(x: np.ndarray, d: int) -> np.ndarray:
    """The formula of the grid, written once more and by another way of summing."""
    import math

    rows = []
    for row in np.asarray(x, np.float32).astype(np.float64):
        norm = math.sqrt(math.fsum(v * v for v in row))
        rows.append([max(-127, min(127, round(v / norm * 127 * math.sqrt(d) / 7))) for v in row])
    return np.array(rows, np.int8)


@pytest.fixture
def space() -> EmbeddingSpace:
    return SPACE


@pytest.fixture
def decoder() -> RecordDecoder:
    return RecordDecoder(SPACE)


@pytest.fixture
def decode() -> Callable[..., Decoded]:
    def run(
        values: Sequence[bytes | None], decoder: RecordDecoder | None = None, first: int = 100, **more: Any
    ) -> Decoded:
        more.setdefault("offsets", np.arange(first, first + len(values)))
        return (decoder or RecordDecoder(SPACE)).decode_messages(
            values, topic_id="T", topic="log", partition=3, **more
        )

    return run


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """A good record as a dict; changes by keyword, a field set to ``...`` is left out."""

    def make(number: int = 0, **changes: Any) -> dict[str, Any]:
        q = plain_grid(vectors(1, number), SPACE.dimension)[0]
        fields: dict[str, Any] = {
            "request_id": f"r{number}",
            "account_id": f"account-{number % 3}",
            "event_time": f"2026-01-01T00:00:{number % 60:02d}.25Z",
            "embedding": base64.b64encode(q.tobytes()).decode(),
            "model": "m-1",
            "input_tokens": 10 + number,
            "temperature": 0.7,
            "prompt_hash": number,
        }
        fields.update(changes)
        return {name: value for name, value in fields.items() if value is not ...}

    return make


@pytest.fixture
def message(record: Callable[..., dict[str, Any]]) -> Callable[..., bytes]:
    def make(number: int = 0, **changes: Any) -> bytes:
        return json.dumps(record(number, **changes)).encode()

    return make


@pytest.fixture
def table() -> Callable[..., pa.Table]:
    """A table of n good records with every field of the contract set somewhere."""

    def make(n: int, seed: int = 0, space: EmbeddingSpace = SPACE) -> pa.Table:
        rng = np.random.default_rng(seed)
        q = plain_grid(vectors(n, seed, space.dimension), space.dimension)
        gaps = rng.random(n) < 0.3

        def some(values: Sequence[Any]) -> list[Any]:
            return [None if gap else value for gap, value in zip(gaps, values, strict=True)]

        def strings(prefix: str, kinds: int) -> list[str | None]:
            return some([f"{prefix}{k}" for k in rng.integers(0, kinds, n)])

        def hashes() -> pa.Array:
            return pa.array(some([int(v) for v in rng.integers(0, 2**64, n, dtype=np.uint64)]), pa.uint64())

        return pa.table(
            {
                "request_id": [f"r{seed}-{i}" for i in range(n)],
                "account_id": [f"ac\u00e4{k}" for k in rng.integers(0, 5, n)],
                "event_time": pa.array(START + rng.integers(0, 10**12, n), pa.timestamp("us")),
                "embedding": pa.array([row.tobytes() for row in q], pa.binary(space.dimension)),
                "embedding_model": pa.array(some([space.model] * n), pa.string()),
                "model": strings("m", 3),
                "operation": strings("op", 2),
                "input_tokens": pa.array(some(rng.integers(0, 5000, n).tolist()), pa.int64()),
                "output_tokens": pa.array(some(rng.integers(0, 2**40, n).tolist()), pa.int64()),
                "temperature": pa.array(some(rng.random(n).round(3).tolist()), pa.float64()),
                "top_p": pa.array(some(rng.random(n).tolist()), pa.float64()),
                "max_tokens": pa.array(some(rng.integers(1, 4096, n).tolist()), pa.int64()),
                "choice_count": pa.array(some(rng.integers(1, 5, n).tolist()), pa.int64()),
                "logprobs": pa.array(some((rng.random(n) < 0.5).tolist()), pa.bool_()),
                "stream": pa.array(some((rng.random(n) < 0.5).tolist()), pa.bool_()),
                "reasoning_requested": pa.array(some((rng.random(n) < 0.5).tolist()), pa.bool_()),
                "prompt_hash": hashes(),
                "template_hash": hashes(),
                "system_prompt_hash": hashes(),
                "language": strings("l", 3),
                "client_network": strings("10.0.0.", 9),
                "asn": pa.array(some(rng.integers(0, 2**32, n).tolist()), pa.int64()),
                "country": strings("C", 3),
                "user_agent": strings("agent \u2603 ", 3),
                "organization_id": strings("org", 3),
                "payment_id": strings("pay", 3),
                "status": strings("s", 3),
                "latency_ms": pa.array(some(rng.integers(0, 10_000, n).tolist()), pa.int64()),
            }
        )

    return make
