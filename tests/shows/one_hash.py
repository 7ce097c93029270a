"""One hash for all: the same records along every path give the same profiles.

    python tests/shows/one_hash.py [--records 100000] [--seed 7] [--bootstrap-servers HOST:PORT]

Paths: worker on single JSON messages; worker on Arrow batches of 1 to 1,000; ingest of a Parquet file in three batch
sizes; ingest of a shuffled file; replay; two workers with a rebalance in the middle. Every path's digest of all profiles
must be equal, and the digest of the light fields must equal the one that plain Python makes of the JSON messages.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from pathlib import Path

import plain_light_digest
import pyarrow.parquet as pq
import stage

from pipeline.clock import SystemClock
from pipeline.demo.processes import WorkerProcess, wait_until_landed
from pipeline.kafka import client
from pipeline.kafka.broker import EmbeddedKafka
from pipeline.lake import Lake
from pipeline.records.encode import encode_arrow, encode_json


def arrow_batches(table, rng):
    """(key, value) messages of 1 to 1,000 records each."""
    start = 0
    while start < table.num_rows:
        rows = rng.randint(1, 1000)
        yield None, encode_arrow(table.slice(start, rows))
        start += rows


def two_workers(lake: Path, bootstrap: str, topic: str, out: Path, pairs: list) -> float:
    """A second worker joins when half of the records are sent and some are landed; the rest comes after it took over its share."""
    began = time.monotonic()
    common = [
        "--lake",
        str(lake),
        "--bootstrap-servers",
        bootstrap,
        "--topic",
        topic,
        "--group",
        f"{topic}-two",
    ]
    common += ["--segment-records", str(max(200, len(pairs) // 40)), "--segment-seconds", "1"]
    half = len(pairs) // 2
    stage.produce(bootstrap, topic, pairs[:half])
    with client.connected(bootstrap) as admin, WorkerProcess(common, out / "two-first.log") as first:
        stage.await_that(lambda: list(lake.glob("segments/*/*/*.parquet")), first)
        with WorkerProcess(common, out / "two-second.log") as second:
            stage.await_that(lambda: assignments(second.log), second)
            before = len(Lake.open(lake).snapshot().segments)
            stage.produce(bootstrap, topic, pairs[half:])
            ends = {partition: end for partition, (_, end) in client.log_ranges(admin, topic).items()}
            wait_until_landed(
                Lake.open(lake), client.topic_id(admin, topic), ends, second, clock=SystemClock(), timeout=600
            )
            for name, log in (("first", first.log), ("second", second.log)):
                print(f"    {name} worker: {'; '.join(assignments(log))}", flush=True)
            after = len(Lake.open(lake).snapshot().segments)
            print(
                f"    {before} segments before the second had its partitions, {after} in the end", flush=True
            )
    return time.monotonic() - began


def assignments(log: Path) -> list[str]:
    """What a worker was assigned, each time."""
    lines = [line for line in log.read_text().splitlines() if "assigned partitions" in line]
    return [line.split("assigned ")[1] for line in lines if "none" not in line]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-one-hash-")))
        bootstrap = options.bootstrap_servers or stack.enter_context(EmbeddedKafka()).bootstrap_servers
        source = out / "records.parquet"
        stage.distillwatch(
            "simulate", "--records", str(options.records), "--seed", str(options.seed), "--out", source
        )
        table = pq.read_table(source)
        messages = encode_json(table)
        accounts = [a.encode() for a in table.column("account_id").to_pylist()]
        order = list(range(table.num_rows))
        rng.shuffle(order)
        pq.write_table(table.take(order), out / "shuffled.parquet")
        print(
            f"{table.num_rows:,} records of {len(set(accounts)):,} accounts, seed {options.seed}", flush=True
        )
        rows = []

        def record(path: str, lake: Path, seconds: float) -> None:
            figures = stage.digest(lake)
            rows.append({"path": path, **figures, "seconds": f"{seconds:.1f}"})
            print(f"done: {path}", flush=True)

        suffix = f"{options.seed}-{time.time_ns()}"
        as_json, as_arrow = f"one-hash-json-{suffix}", f"one-hash-arrow-{suffix}"
        stage.new_topic(bootstrap, as_json)
        stage.new_topic(bootstrap, as_arrow)
        stage.produce(bootstrap, as_json, zip(accounts, messages, strict=True))
        stage.produce(bootstrap, as_arrow, arrow_batches(table, rng))

        record(
            "(a) worker, single JSON",
            out / "a",
            stage.run_worker(out / "a", bootstrap, as_json, out / "a.log"),
        )
        record(
            "(b) worker, Arrow batches",
            out / "b",
            stage.run_worker(out / "b", bootstrap, as_arrow, out / "b.log"),
        )
        for batch in (997, 8192, 65536):
            lake, began = out / f"c{batch}", time.monotonic()
            stage.distillwatch("ingest", "--lake", lake, source, "--batch-rows", str(batch))
            record(f"(c) ingest, batches of {batch:,}", lake, time.monotonic() - began)
        began = time.monotonic()
        stage.distillwatch("ingest", "--lake", out / "d", out / "shuffled.parquet")
        record("(d) ingest, shuffled file", out / "d", time.monotonic() - began)
        day = str(min(table.column("event_time").to_pylist()).date())
        began = time.monotonic()
        stage.distillwatch("replay", "--lake", out / "a", "--date", day, "--no-score")
        if not Lake.open(out / "a").snapshot().manifest.runs:
            sys.exit("the replay published no run")
        record("(e) replay of (a)", out / "a", time.monotonic() - began)
        twice = f"one-hash-two-{suffix}"
        stage.new_topic(bootstrap, twice)
        pairs = list(zip(accounts, messages, strict=True))
        record("(f) two workers, rebalance", out / "f", two_workers(out / "f", bootstrap, twice, out, pairs))

        stage.table(rows)
        plain = plain_light_digest.light_digest(messages)
        print(f"light fields by plain Python: {plain}")
        digests = {r["digest"] for r in rows}
        lights = {r["light_digest"] for r in rows}
        equal = len(digests) == 1 and lights == {plain}
        print(
            "one digest of all profiles along every path"
            if len(digests) == 1
            else f"{len(digests)} DIFFERENT digests"
        )
        print(
            "the light digest agrees with plain Python"
            if lights == {plain}
            else "the light digest DISAGREES with plain Python"
        )
        return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
