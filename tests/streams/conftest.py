"""Real topics, records and workers for tests of the deployment."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.demo.processes import WorkerProcess
from pipeline.kafka import client, topics
from pipeline.lake import Lake
from pipeline.records.encode import encode_json
from pipeline.records.grid import quantise
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_bench import Bench

sys.path.insert(0, str(Path(__file__).parent))

DEADLINE = 90.0


def wait_for(what: str, ask: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Ask until the answer is true; gives the answer."""
    end = time.monotonic() + seconds
    while True:
        found = ask()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.03)


def make_records(count: int, seed: int = 1, accounts: int = 40) -> pa.Table:
    """Records with event times out of order."""
    rng = np.random.default_rng(seed)
    space = EmbeddingSpace()
    q = quantise(rng.standard_normal((count, space.dimension), dtype=np.float32), space)
    start = np.datetime64("2026-01-05T00:00:00", "us")
    return pa.table(
        {
            "request_id": [f"r{seed}-{i}" for i in range(count)],
            "account_id": [f"account-{a}" for a in rng.integers(0, accounts, count)],
            "event_time": pa.array(start + rng.integers(0, 86_400_000_000, count).astype("timedelta64[us]")),
            "embedding": pa.array([row.tobytes() for row in q], pa.binary(space.dimension)),
            "input_tokens": pa.array(rng.integers(1, 900, count)),
            "status": ["200"] * count,
        }
    )


@dataclass
class Worker:
    """A worker process and what it says over HTTP."""

    process: WorkerProcess

    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    def url(self) -> str:
        found = wait_for(
            "the worker's web address", lambda: re.search(r"(http://\S+?)/health", self.log()) or self.ended()
        )
        return str(found[1])

    def ended(self) -> bool:
        self.process.check()
        return False

    def get(self, page: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.url()}/{page}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, "{}"

    def health(self) -> dict[str, Any]:
        status, text = self.get("health")
        return {"status": status, **json.loads(text)}

    def metric(self, name: str) -> float:
        _, text = self.get("metrics")
        pattern = rf"^distillwatch_{name}(?:{{.*}})? (\S+)$"
        return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))

    def wait_until_healthy(self) -> dict[str, Any]:
        def healthy() -> dict[str, Any] | None:
            self.ended()
            found = self.health()
            return found if found["status"] == 200 else None

        return wait_for("health", healthy)


@dataclass
class Stage:
    """One topic on the session's Kafka, one lake, and workers on both."""

    bootstrap: str
    folder: Path
    topic: str
    partitions: int = 2
    workers: list[WorkerProcess] = field(default_factory=list)

    # Test modules cannot import from here; they reach the helpers through the fixture.
    wait_for = staticmethod(wait_for)
    records = staticmethod(make_records)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    def create_topic(self, **configs: str) -> None:
        logs = next(each for each in topics.defined() if each.name == topics.LOGS)
        topics.apply(
            self.bootstrap,
            topics=[
                replace(
                    logs, name=self.topic, partitions=self.partitions, configs={**logs.configs, **configs}
                )
            ],
        )

    def send(self, values: list[bytes | None], partition: int | None = None) -> None:
        producer = client.producer(self.bootstrap)
        for i, value in enumerate(values):
            producer.send(self.topic, key=b"%d" % i, value=value, partition=partition)
        producer.flush()
        producer.close()

    def send_records(self, count: int, seed: int = 1, partition: int | None = None) -> None:
        self.send(list(encode_json(make_records(count, seed))), partition)

    def ranges(self) -> dict[int, tuple[int, int]]:
        with client.connected(self.bootstrap) as admin:
            return client.log_ranges(admin, self.topic)

    def topic_id(self) -> str:
        with client.connected(self.bootstrap) as admin:
            return client.topic_id(admin, self.topic)

    def heads(self) -> dict[int, int]:
        if not (self.lake / "lake.json").exists():
            return {}
        lake, topic_id = Lake.open(self.lake), self.topic_id()
        return {p: lake.head(topic_id, p) or 0 for p in range(self.partitions)}

    def landed(self) -> int:
        return sum(self.heads().values())

    def wait_until_landed(self, count: int) -> None:
        def there() -> bool:
            for worker in self.workers:
                if worker.process.poll() is None:
                    return self.landed() >= count
            return self.landed() >= count or pytest.fail(f"no worker is left:\n{self.workers[-1].tail(30)}")

        wait_for(f"{count} landed offsets", there)

    def request_ids(self) -> list[str]:
        import pyarrow.parquet as pq

        snapshot = Lake.open(self.lake).snapshot()
        files = [pq.read_table(self.lake / s.key, columns=["request_id"]) for s in snapshot.segments]
        return sorted(i for f in files for i in f.column("request_id").to_pylist() if i is not None)

    def assert_covered(self, count: int) -> None:
        """Every record once, by count and by the lake's own proof; windows up to the end as well."""
        from pipeline.lake.coverage import check_coverage

        snapshot = Lake.open(self.lake).snapshot()
        coverage = check_coverage(snapshot)
        assert coverage.holds, coverage.findings
        ids = self.request_ids()
        assert len(ids) == len(set(ids)) == count
        assert {p: end for p, (_, end) in self.ranges().items()} == self.heads()

    def arguments(self, *extra: str) -> list[str]:
        common = [
            "--lake",
            str(self.lake),
            "--bootstrap-servers",
            self.bootstrap,
            "--topic",
            self.topic,
            "--group",
            self.topic,
        ]
        return [*common, "--session-seconds", "6", *extra]

    def worker(self, *extra: str) -> Worker:
        process = WorkerProcess(self.arguments(*extra), self.folder / f"worker-{len(self.workers)}.log")
        self.workers.append(process)
        return Worker(process)

    def scripted_worker(self, patch: str, *extra: str) -> Worker:
        """A worker with a fault put in: ``patch`` runs before its command does."""
        process = WorkerProcess.__new__(WorkerProcess)
        import subprocess

        process.log = self.folder / f"worker-{len(self.workers)}.log"
        process._out = process.log.open("ab")
        code = f"{patch}\nfrom pipeline.cli.main import run\nrun({['worker', *self.arguments(*extra)]!r})"
        process.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=process._out,
            stderr=subprocess.STDOUT,
        )
        self.workers.append(process)
        return Worker(process)

    def run_until_caught_up(self, *extra: str) -> str:
        worker = self.worker("--until-caught-up", *extra)
        worker.process.wait(DEADLINE)
        return worker.log()


@pytest.fixture
def stage(kafka: Any, tmp_path: Path) -> Iterator[Stage]:
    found = Stage(kafka.bootstrap_servers, tmp_path, f"logs-{uuid.uuid4().hex[:10]}")
    found.create_topic()
    yield found
    for worker in found.workers:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
        worker._out.close()
    # Faust would make a folder of the group's name wherever the worker was started.
    assert not list(Path.cwd().glob(f"{found.topic}*"))


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Run a scene with a bench on the event loop."""
    from stream_bench import Bench, message_values

    def run(scene: Callable[[Bench], Any], folder: str = "lake", **settings: Any) -> None:
        async def whole() -> None:
            bench = Bench(tmp_path / folder, message_values(), **settings)
            try:
                await scene(bench)
            finally:
                await bench.end()

        asyncio.run(whole())

    return run
