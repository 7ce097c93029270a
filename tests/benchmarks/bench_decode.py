"""How long decoding one record takes on one core: CPU time, best of several rounds.

Run it by hand: ``python tests/benchmarks/bench_decode.py``. Nothing is asserted; the target on the fast path is
6 us for a record with a base64 embedding of d = 384 and about 20 fields.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow, encode_json
from pipeline.records.grid import quantise
from pipeline.records.pseudonyms import Pseudonyms
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable


def records(n: int, space: EmbeddingSpace) -> pa.Table:
    rng = np.random.default_rng(0)
    q = quantise(rng.normal(size=(n, space.dimension)), space)
    return pa.table(
        {
            "request_id": [f"req-{i:012d}" for i in range(n)],
            "account_id": [f"account-{k:06d}" for k in rng.integers(0, 500, n)],
            "event_time": pa.array(1_767_225_600_000_000 + np.arange(n) * 1_000_003, pa.timestamp("us")),
            "embedding": pa.array(
                list(q.view(f"V{space.dimension}").ravel().tolist()), pa.binary(space.dimension)
            ),
            "embedding_model": [space.model] * n,
            "model": [f"model-{k}" for k in rng.integers(0, 4, n)],
            "operation": ["chat"] * n,
            "input_tokens": rng.integers(1, 4000, n),
            "output_tokens": rng.integers(1, 4000, n),
            "temperature": rng.choice([0.0, 0.7, 1.0], n),
            "top_p": rng.choice([0.9, 1.0], n),
            "max_tokens": rng.choice([512, 1024], n),
            "choice_count": rng.integers(1, 3, n),
            "stream": rng.random(n) < 0.5,
            "prompt_hash": rng.integers(0, 2**64, n, dtype=np.uint64),
            "template_hash": rng.integers(0, 50, n).astype(np.uint64),
            "language": ["en"] * n,
            "client_network": [f"10.0.{k}.0/24" for k in rng.integers(0, 250, n)],
            "user_agent": ["example-sdk/1.2 python/3.12"] * n,
            "status": ["ok"] * n,
            "latency_ms": rng.integers(50, 9000, n),
        }
    )


def best(run: Callable[[], object], n: int, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times) / n * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    n, space = options.records, EmbeddingSpace()
    table = records(n, space)
    messages = encode_json(table)
    floats = (
        np.frombuffer(b"".join(table["embedding"].to_pylist()), np.int8).reshape(n, -1) / space.scale
    ).round(6)
    listed = [
        json.dumps({**json.loads(m), "embedding": v}).encode()
        for m, v in zip(messages, floats.tolist(), strict=True)
    ]
    strange = [m[:-1] + b',"shoe_size":43}' for m in messages]
    streams = [encode_arrow(table.slice(i, 256)) for i in range(0, n, 256)]
    offsets, append = np.arange(n), np.full(n, 1_800_000_000_000)
    plain = RecordDecoder(space)
    secret = RecordDecoder(space, pseudonyms=Pseudonyms(b"k" * 32))

    def decode(decoder: RecordDecoder, values: list[bytes]) -> int:
        decoded = decoder.decode_messages(
            values,
            topic_id="T",
            topic="t",
            partition=0,
            offsets=offsets[: len(values)],
            append_times=append[: len(values)],
        )
        assert len(decoded.rejected) == 0
        return len(decoded.records)

    cases: dict[str, Callable[[], object]] = {
        "JSON, base64": lambda: decode(plain, messages),
        "JSON, base64, pseudonyms": lambda: decode(secret, messages),
        "JSON, base64, an unknown field": lambda: decode(plain, strange),
        "JSON, list of 384 numbers": lambda: decode(plain, listed),
        "Arrow messages of 256": lambda: decode(plain, streams),
        "table rows (Parquet)": lambda: plain.decode_rows(table, topic_id="T", topic="t", first_offset=0),
    }
    for name, run in cases.items():
        rounds = options.rounds if "list" not in name else max(1, options.rounds // 5)
        print(f"{name:32} {best(run, n, rounds):7.2f} us a record")


if __name__ == "__main__":
    main()
