"""Records a second of the engine on one core, and how much of it is the matrix product nobody can avoid.

Run it as a script: ``python tests/benchmarks/bench_engine.py [--records N] [--rounds R]``. One BLAS thread. CPU time
of the thread is measured, so that other processes disturb it less; the best of several rounds counts.
"""

# ruff: noqa: E402 -- BLAS reads its environment when numpy is imported

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
for forced in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(forced, None)

import numpy as np
import pyarrow as pa

from pipeline.engine import Engine
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.profiles.schema import HEAVY_MIN_RECORDS
from pipeline.records.schema import record_schema
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_760_000_400_000_000


def make_records(accounts: np.ndarray, rng: np.random.Generator, space: EmbeddingSpace) -> pa.Table:
    """Records of the accounts given, all within one hour, every column filled."""
    n, d = len(accounts), space.dimension
    x = rng.normal(size=(n, d))
    q = np.clip(np.rint(x * (space.scale / np.linalg.norm(x, axis=1, keepdims=True))), -127, 127).astype(
        np.int8
    )
    columns = {
        "account_id": [f"account-{number:07d}" for number in accounts],
        "event_time": START + rng.integers(0, 3600 * 10**6, n),
        "embedding": pa.FixedSizeBinaryArray.from_buffers(pa.binary(d), n, [None, pa.py_buffer(q)]),
        "model": rng.choice(["model-a", "model-b", "model-c"], n),
        "input_tokens": rng.integers(1, 4000, n),
        "output_tokens": rng.integers(1, 4000, n),
        "temperature": rng.choice([0.0, 0.7, 1.0], n),
        "top_p": rng.choice([0.9, 1.0], n),
        "max_tokens": rng.choice([256, 1024, 4096], n),
        "choice_count": rng.choice([1, 1, 1, 4], n),
        "logprobs": rng.random(n) < 0.1,
        "stream": rng.random(n) < 0.5,
        "reasoning_requested": rng.random(n) < 0.3,
        "prompt_hash": rng.integers(0, 2**63, n).astype(np.uint64),
        "template_hash": rng.integers(0, 500, n).astype(np.uint64),
        "system_prompt_hash": rng.integers(0, 50, n).astype(np.uint64),
        "language": rng.choice(["en", "en-US", "de"], n),
        "client_network": [f"10.{number // 250}.{number % 250}.0/24" for number in rng.integers(0, 2000, n)],
        "user_agent": [f"client/{number}" for number in rng.integers(0, 30, n)],
        "status": rng.choice(["ok", "error", "429", "refused"], n, p=[0.9, 0.05, 0.03, 0.02]),
        "latency_ms": rng.integers(10, 30_000, n),
    }
    fields = [field for field in record_schema(space) if field.name in columns]
    missing = [field for field in record_schema(space) if field.name not in columns]
    table = pa.table([pa.array(columns[f.name]).cast(f.type) for f in fields], schema=pa.schema(fields))
    for field in missing:
        table = table.append_column(field.name, pa.nulls(n, field.type))
    return table


def best(run: Callable[[], object], rounds: int) -> float:
    """Least CPU seconds of the calling thread."""
    run()
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dimension", type=int, default=384)
    options = parser.parse_args()
    n, rng = options.records, np.random.default_rng(1)
    space = EmbeddingSpace(dimension=options.dimension)
    parameters = Parameters.default() if options.dimension == 384 else Parameters.generate(space)
    engine = Engine(parameters)
    cases = {
        "zipf accounts": rng.zipf(1.1, n) % 4096,
        "all distinct": rng.permutation(n),
        "32 accounts": rng.integers(0, 32, n),
        "one account": np.zeros(n, dtype=np.int64),
    }
    x = rng.integers(-60, 60, (4096, options.dimension)).astype(np.float32)
    floor = best(lambda: x @ parameters.matrix, options.rounds) / 4096
    topics = best(lambda: x @ parameters.codebook_matrix, options.rounds) / 4096
    flops = 2 * options.dimension * parameters.matrix.shape[1]
    say = sys.stdout.write
    say(
        f"d={options.dimension}, {n} records a block; one product row {floor * 1e6:.2f} us ({flops / floor / 1e9:.0f} "
    )
    say(f"GF/s), topics alone {topics * 1e6:.2f} us\n")
    say(f"{'case':<16}{'profiles':>10}{'records/s':>12}{'us/record':>11}{'product':>9}{'landing/s':>12}\n")
    for name, accounts in cases.items():
        table = make_records(accounts, rng, space)
        whole = best(lambda table=table: engine.profiles(table), options.rounds) / n
        landing = (
            best(lambda table=table: engine.profiles(table, heavy_from=HEAVY_MIN_RECORDS), options.rounds) / n
        )
        count = len(engine.profiles(table))
        say(
            f"{name:<16}{count:>10}{1 / whole:>12.0f}{whole * 1e6:>11.2f}{floor / whole:>9.0%}{1 / landing:>12.0f}\n"
        )
    table = make_records(cases["zipf accounts"], rng, space)
    profiles = engine.profiles(table)
    pieces = [engine.profiles(table.slice(low, n // 8)) for low in range(0, n, n // 8)]
    steps: dict[str, Callable[[], object]] = {
        "merge 8 overlapping": lambda: Profiles.merge(*pieces),
        "by_account": profiles.by_account,
        "total": profiles.total,
        "digest": profiles.digest,
        "light_digest": profiles.light_digest,
        "to_windows_table": profiles.to_windows_table,
        "to_profiles_table(1)": lambda: profiles.to_profiles_table(1),
    }
    windows, heavy = profiles.to_windows_table(), profiles.to_profiles_table(1)
    steps["from_tables"] = lambda: Profiles.from_tables(parameters, windows, heavy)
    for name, step in steps.items():
        rows = sum(map(len, pieces)) if name.startswith("merge") else len(profiles)
        say(f"{name:<24}{rows / best(step, options.rounds):>12.0f} rows/s\n")


if __name__ == "__main__":
    main()
