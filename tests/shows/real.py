"""Real input: every embedding of real prompts as API logs of accounts, through Kafka, a worker, landing and verify.

    python tests/shows/real.py [--data ../shared/data] [--bootstrap-servers HOST:PORT] [--lake DIR]

Each source's prompts are dealt to accounts of up to 400 requests in their order in the source, with event times over three
days. Single JSON messages, embedding as base64. Prints records, segments, seconds, and what `verify` says: 0 lost, 0 twice,
0 differences, or exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import stage

from pipeline.kafka.broker import EmbeddedKafka
from pipeline.lake import Lake
from pipeline.records.encode import encode_json

PER_ACCOUNT = 400
DAYS = 3


def logs_of(source: Path, first_day: datetime) -> pa.Table:
    """One source's embeddings as records: who asked is invented, what was asked is real."""
    table = pq.read_table(source)
    n = table.num_rows
    name = source.stem
    step = timedelta(days=DAYS) / min(n, PER_ACCOUNT)
    return pa.table(
        {
            "request_id": [f"{name}-{i}" for i in range(n)],
            "account_id": [f"{name}-{i // PER_ACCOUNT:03d}" for i in range(n)],
            "event_time": pa.array(
                [(first_day + step * (i % PER_ACCOUNT)).replace(tzinfo=None) for i in range(n)],
                pa.timestamp("us"),
            ),
            "embedding": table.column("embedding").cast(pa.binary(384))
            if table.schema.field("embedding").type != pa.binary(384)
            else table.column("embedding"),
            "model": ["model-a"] * n,
            "input_tokens": table.column("tokens").cast(pa.int64()),
            "output_tokens": pa.array([60 + 7 * (i % 40) for i in range(n)], pa.int64()),
            "temperature": [0.7] * n,
            "prompt_hash": pa.array(
                [
                    int.from_bytes(hashlib.blake2b(f"{name} {i}".encode(), digest_size=8).digest(), "big")
                    for i in range(n)
                ],
                pa.uint64(),
            ),
            "client_network": [f"192.0.2.{i // PER_ACCOUNT % 256}" for i in range(n)],
            "status": ["200"] * n,
        }
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with embeddings/<source>.parquet"
    )
    parser.add_argument("--bootstrap-servers")
    parser.add_argument("--lake", type=Path, help="keep the lake here instead of in a temporary folder")
    options = parser.parse_args()
    sources = sorted((options.data / "embeddings").glob("*.parquet"))
    if not sources:
        print(f"no embeddings/*.parquet in {options.data}; name the folder with --data", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-real-")))
        lake = options.lake or out / "lake"
        bootstrap = options.bootstrap_servers or stack.enter_context(EmbeddedKafka()).bootstrap_servers
        topic = f"real-{time.time_ns()}"
        stage.new_topic(bootstrap, topic)
        first_day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
            days=DAYS + 1
        )
        began, sent, size = time.monotonic(), 0, 0
        for source in sources:
            table = logs_of(source, first_day)
            values = encode_json(table)
            keys = [a.encode() for a in table.column("account_id").to_pylist()]
            sent += stage.produce(bootstrap, topic, zip(keys, values, strict=True))
            size += sum(map(len, values))
            print(f"sent {table.num_rows:>6,} of {source.stem}", flush=True)
        produced = time.monotonic() - began
        seconds = stage.run_worker(lake, bootstrap, topic, out / "worker.log")
        snapshot = Lake.open(lake).snapshot()
        records = sum(s.records for s in snapshot.segments)
        rejected = sum(s.rejected for s in snapshot.segments)
        print(f"sent {sent:,} JSON messages ({size / 1e6:.0f} MB) in {produced:.1f} s")
        print(
            f"landed {records:,} records and {rejected:,} rejected ones in {len(snapshot.segments)} segments in {seconds:.1f} s, start-up included"
        )
        began = time.monotonic()
        proof = stage.distillwatch(
            "verify", "--lake", lake, "--bootstrap-servers", bootstrap, "--all", check=False
        )
        print(proof.stdout, proof.stderr, sep="", flush=True)
        print(f"verify ended with {proof.returncode} in {time.monotonic() - began:.1f} s")
        print(f"digest of all profiles: {stage.digest(lake)['digest']}")
        complete = records == sent and rejected == 0
        return 0 if proof.returncode == 0 and complete else 1


if __name__ == "__main__":
    sys.exit(main())
