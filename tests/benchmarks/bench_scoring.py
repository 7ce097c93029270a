"""What scoring costs: ``python tests/benchmarks/bench_scoring.py [--accounts 6000] [--records 60] [--workers 2]``.

Makes a lake of so many accounts with about so many records each, landed and rolled up, and judges it in a process of its
own. Timed is `judge_lake` alone: reading profiles and records from the lake, every signal, ranks, scores, clusters,
alerts and tables; nothing is published. Making, landing and rolling up the records is not timed. Printed are the
wall seconds of the whole and of its two readings, and the largest memory of the judging process (with ``--workers``
above 1, of its largest worker too). Lakes above `DETAIL` scorable accounts are read in detail by sample and candidates.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline" / "lake"))

import numpy as np
import pyarrow as pa
from lake_support import NEVER, START, decoded, engine, make_lake, make_lander

from pipeline import scoring
from pipeline.lake import Lake
from pipeline.records.schema import OPTIONAL_FIELDS, record_schema
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SPACE = EmbeddingSpace()
BATCH = 4000
"""Accounts of a segment."""

DAYS, TOPICS, NOISES = 7, 64, 4096


def make_records(first: int, accounts: int, each: int, offset: int, topic_id: str, topic: str) -> pa.Table:
    """Accounts with a few topics, a few hours and some repeated prompts each."""
    rng = np.random.default_rng([first, accounts, each])
    fixed = np.random.default_rng(0)
    centres = fixed.standard_normal((TOPICS, SPACE.dimension))
    noises = fixed.standard_normal((NOISES, SPACE.dimension)).astype(np.float32)
    size = np.maximum(rng.poisson(each, accounts), 1)
    owner = np.repeat(np.arange(accounts), size)
    count = len(owner)
    own = rng.integers(0, TOPICS, (accounts, 8))
    subject = own[owner, np.minimum(rng.geometric(0.4, count), 8) - 1]
    prompt = rng.integers(0, 2**62, count)
    again = rng.random(count) < 0.2
    earlier = np.maximum(np.arange(count) - rng.integers(1, 9, count), 0)
    same = again & (owner[earlier] == owner)
    noise = rng.integers(0, NOISES, count)
    prompt[same], noise[same], subject[same] = (
        prompt[earlier[same]],
        noise[earlier[same]],
        subject[earlier[same]],
    )
    embeddings = np.empty((count, SPACE.dimension), np.int8)
    for low in range(0, count, 50_000):
        rows = slice(low, low + 50_000)
        x = centres[subject[rows]].astype(np.float32) + noises[noise[rows]]
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        embeddings[rows] = np.clip(np.rint(x * SPACE.scale), -127, 127)
    hour = rng.integers(0, DAYS * 24, (accounts, 6))[owner, rng.integers(0, 6, count)]
    second = hour * 3600 + rng.integers(0, 3600, count)
    times = np.datetime64(START.replace(tzinfo=None), "us") + second.astype(np.int64) * 1_000_000

    def chosen(values: list[Any], kinds: int) -> list[Any]:
        mine = rng.integers(0, len(values), (accounts, kinds))
        return [values[i] for i in mine[owner, rng.integers(0, kinds, count)]]

    data = pa.py_buffer(embeddings)
    columns: dict[str, Any] = {
        "topic_id": [topic_id] * count,
        "topic": [topic] * count,
        "partition": np.zeros(count, np.int32),
        "offset": offset + np.arange(count),
        "row": np.zeros(count, np.int32),
        "request_id": [f"r{offset + i}" for i in range(count)],
        # Names are spread over the alphabet, as hashes are.
        "account_id": [f"a{name}" for name in _names(first, accounts)[owner]],
        "event_time": times,
        "embedding": pa.Array.from_buffers(pa.binary(SPACE.dimension), count, [None, data]),
        "input_tokens": rng.integers(10, 3000, count),
        "output_tokens": rng.integers(10, 2000, count),
        "temperature": chosen([0.0, 0.2, 0.7, 1.0], 2),
        "max_tokens": chosen([256, 1024, 4096], 2),
        "prompt_hash": pa.array(prompt.astype(np.uint64)),
        "template_hash": pa.array(chosen(list(range(1, 400)), 3), pa.uint64()),
        "system_prompt_hash": pa.array(chosen(list(range(1, 400)), 2), pa.uint64()),
        "model": chosen(["m-1", "m-2", "m-3"], 2),
        "client_network": chosen([f"10.{i}.0.0/16" for i in range(250)], 2),
        "user_agent": chosen([f"agent/{i}" for i in range(30)], 2),
        "language": chosen(["en", "de", "fr"], 2),
        "reasoning_requested": chosen([True, False], 2),
        "status": ["ok"] * count,
    }
    for field in OPTIONAL_FIELDS:
        columns.setdefault(field.name, pa.nulls(count, field.type))
    schema = record_schema(SPACE)
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema}, schema=schema)


def _names(first: int, accounts: int) -> NDArray[np.object_]:
    numbers = (np.arange(first, first + accounts, dtype=np.uint64) + np.uint64(1)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return np.array([f"{number:016x}" for number in numbers.tolist()], object)


def fill(folder: Path, accounts: int, each: int) -> int:
    """Land the records; how many."""
    lake = make_lake(folder, space=SPACE)
    lander = make_lander(lake, settings=NEVER)
    offset = 0
    for first in range(0, accounts, BATCH):
        some = min(BATCH, accounts - first)
        table = make_records(first, some, each, offset, lander.chain.topic_id, lander.topic)
        lander.accept(decoded(table), offset, offset + table.num_rows)
        offset += table.num_rows
        lander.land()
        lander.roll_up()
    return offset


def judge(folder: Path, workers: int) -> None:
    """Judge the lake, and print what it cost."""
    seconds: dict[str, float] = {}

    def timed(name: str) -> None:
        inner: Callable[..., Any] = getattr(scoring, name)

        def outer(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            found = inner(*arguments, **options)
            seconds[name] = time.perf_counter() - began
            kept[name] = found
            return found

        setattr(scoring, name, outer)

    kept: dict[str, Any] = {}
    timed("read_accounts")
    timed("read_details")
    snapshot = Lake.open(folder).snapshot()
    began, busy = time.perf_counter(), time.process_time()
    found = scoring.judge_lake(snapshot, engine(SPACE), workers=workers)
    wall, cpu = time.perf_counter() - began, time.process_time() - busy
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu += children.ru_utime + children.ru_stime
    for name, value in seconds.items():
        print(f"  {name:16} {value:7.1f} s wall")
    details = kept["read_details"]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"judge_lake         {wall:7.1f} s wall, {cpu:.1f} s CPU; {found.accounts:,} accounts, "
        f"{kept['read_accounts'].scorable:,} scorable, {int(details.detailed.sum()):,} in detail, of these "
        f"{int(details.sampled.sum()):,} sampled; {len(found.alerts)} alerts"
    )
    print(
        f"  memory {own:.2f} GB at most"
        + (f", {children.ru_maxrss / 1e6:.2f} GB a worker" if workers > 1 else "")
    )


def main(arguments: Any) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=6000)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        began = time.perf_counter()
        records = fill(Path(folder), options.accounts, options.records)
        print(f"  {records:,} records made, landed and rolled up in {time.perf_counter() - began:.1f} s")
        judging = multiprocessing.get_context("spawn").Process(
            target=judge, args=(Path(folder), options.workers)
        )
        judging.start()
        judging.join()
    sys.exit(judging.exitcode)


if __name__ == "__main__":
    main(sys.argv[1:])
