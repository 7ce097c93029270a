"""Throughput of the worker against the same operator behind plain aiokafka and behind a Faust `take()` agent.

    python tests/shows/bench_stream.py [--records 200000] [--repeats 3] [--take-records 40000] [--bootstrap-servers HOST:PORT]

One run, one topic of single JSON messages (embedding as base64), one process for each measurement, kinds interleaved,
medians. Event times advance as a live stream's do: half an hour for 50,000 records of 500 accounts, each up to a minute
early or late. Three operators:

- "-land" decodes and lands: what has to be done before a record is safe. The exit code is about this one.
- "-decode" only decodes.
- without a suffix, windows are rolled up as well, every 16,384 records of a partition. This is not held to ten times the agent:
  Faust costs an agent some 150 us a record, so an operator of X us gives at most (150 + X) / X on one core, and the exact matrix
  product of a roll-up alone takes 4.8 us of one core.

The clock starts at the first fetch result and stops when the operator's work is durable. CPU seconds are the process's, from
start-up's end on. The agent gets fewer records, because it takes minutes otherwise; its figures are per second all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

KINDS = tuple(f"{who}{part}" for part in ("-land", "-decode", "") for who in ("worker", "plain", "take"))
GOAL_TAKE, GOAL_PLAIN = 10.0, 0.9
# The default, 262,144 a partition, would put all of a run's roll-ups after its end, where they never lie in a deployment.
ROLL_UP_RECORDS = 16_384


class Stopwatch:
    """Wall and CPU time from the first fetch on."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None

    def first(self) -> None:
        if self.began is None:
            self.began = (time.perf_counter(), _cpu())

    def result(self, records: int) -> dict[str, Any]:
        assert self.began is not None, "nothing was fetched"
        wall, cpu = time.perf_counter() - self.began[0], _cpu() - self.began[1]
        return {"records": records, "seconds": wall, "cpu": cpu, "rate": records / wall}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def settings_of(options: argparse.Namespace, kind: str) -> Any:
    from streams.settings import WorkerSettings

    return WorkerSettings(
        lake=options.lake,
        bootstrap_servers=options.bootstrap_servers,
        topic=options.topic,
        group=f"bench-{kind}-{os.getpid()}",
        dead_letter_topic=None,
        alert_topic=None,
        backend="numpy",
        adapter="native",
        live_scoring=False,
        roll_up_records=ROLL_UP_RECORDS,
        until_caught_up=True,
    )


class Operator:
    """What every kind does with the messages of one partition."""

    def __init__(self, settings: Any, *, part: str) -> None:
        from pipeline.clock import SystemClock
        from streams.broker import Broker
        from streams.domain import open_domain

        self.clock = SystemClock()
        self.domain = open_domain(settings, self.clock)
        broker = Broker(settings.bootstrap_servers)
        self.facts = broker.facts(settings.topic)
        broker.close()
        self.part = part
        self.landers: dict[int, Any] = {}
        self.records = 0

    def __call__(
        self, partition: int, first: int, after: int, offsets: Any, times: Any, values: list[bytes]
    ) -> None:
        from pipeline.landing import PartitionLander

        decoded = self.domain.decoder.decode_messages(
            values,
            topic_id=self.facts.topic_id,
            topic=self.facts.topic,
            partition=partition,
            offsets=np.asarray(offsets, np.int64),
            append_times=np.asarray(times, np.int64),
        )
        self.records += decoded.records.num_rows
        if self.part == "decode":
            return
        lander = self.landers.get(partition)
        if lander is None:
            lander = self.landers[partition] = PartitionLander(
                self.domain.lake,
                self.domain.engine,
                topic=self.facts.topic,
                topic_id=self.facts.topic_id,
                partition=partition,
                cluster_id=self.facts.cluster_id,
                settings=self.domain.landing,
                clock=self.clock,
            )
            lander.check(self.facts.starts[partition], self.facts.topic_id)
        lander.accept(decoded, first, after)
        if lander.due():
            lander.land()
        if self.part == "whole" and lander.roll_up_due():
            lander.roll_up()

    def finish(self) -> None:
        for lander in self.landers.values():
            lander.land()
            if self.part == "whole":
                lander.roll_up()


async def run_worker(options: argparse.Namespace, kind: str, *, part: str) -> dict[str, Any]:
    """The worker as it runs in a deployment; for "decode" its lander only counts."""
    from pipeline import metrics as m
    from pipeline.clock import SystemClock
    from streams import partition, runner
    from streams.deployment import Deployment
    from streams.domain import open_domain

    watch = Stopwatch()
    offer, close = Deployment.offer, Deployment.close
    results: list[dict[str, Any]] = []

    def timed_offer(self: Deployment, batch: Any) -> None:
        watch.first()
        offer(self, batch)

    async def timed_close(self: Deployment, seconds: float) -> None:
        if part == "whole":
            await close(self, seconds)
        elif part == "land":
            self.closing = True
            workers = list(self.workers.values())
            await asyncio.gather(*(w.stop(land=True, roll_up=False, seconds=seconds) for w in workers))
        results.append(watch.result(int(self._services.metrics.total(m.RECORDS))))

    Deployment.offer, Deployment.close = timed_offer, timed_close  # type: ignore[method-assign]
    if part == "decode":
        # Where records would be held, only the offsets go on.
        def counted(self: Any, _decoded: Any, _first: int, after: int, **_: Any) -> None:
            self._next = after

        partition.PartitionLander.accept = counted  # type: ignore[method-assign,assignment]
    settings = settings_of(options, kind)
    domain = open_domain(settings, SystemClock())
    if part == "land":
        never = dataclasses.replace(domain.landing, roll_up_records=1 << 60, roll_up_seconds=float("inf"))
        domain = dataclasses.replace(domain, landing=never)
    outcome = await runner.Runner(settings, domain).run()
    assert outcome.error is None, outcome.error
    return results[0]


async def run_plain(options: argparse.Namespace, kind: str, *, part: str) -> dict[str, Any]:
    """aiokafka's own loop, as one would write it by hand."""
    import aiokafka

    settings = settings_of(options, kind)
    operator = Operator(settings, part=part)
    tps = [aiokafka.TopicPartition(options.topic, p) for p in operator.facts.partitions]
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=options.bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=settings.fetch.bytes,
    )
    await consumer.start()
    watch, total = Stopwatch(), sum(operator.facts.ends.values())
    position = dict(operator.facts.starts)
    try:
        consumer.assign(tps)
        while sum(position.values()) < total:
            for tp, records in (
                await consumer.getmany(timeout_ms=1000, max_records=settings.fetch.records)
            ).items():
                watch.first()
                after = records[-1].offset + 1
                operator(
                    tp.partition,
                    position[tp.partition],
                    after,
                    [r.offset for r in records],
                    [r.timestamp for r in records],
                    [r.value for r in records],
                )
                position[tp.partition] = after
        operator.finish()
        return watch.result(operator.records)
    finally:
        await consumer.stop()


async def run_take(options: argparse.Namespace, kind: str, *, part: str) -> dict[str, Any]:
    """A Faust agent with `take`, on Faust's own transport and commits."""
    import faust

    settings = settings_of(options, kind)
    operator = Operator(settings, part=part)
    app = faust.App(
        settings.group,
        env={},
        # Else a folder named after the group stays where the benchmark was started.
        datadir=f"{settings.lake}-faust",
        broker=f"kafka://{options.bootstrap_servers}",
        autodiscover=False,
        topic_disable_leader=True,
        store="memory://",
        web_enabled=False,
        broker_max_poll_records=20_000,
        worker_redirect_stdouts=False,
    )
    topic = app.topic(
        options.topic, key_type=None, value_type=bytes, value_serializer="raw", key_serializer="raw"
    )
    watch, done = Stopwatch(), asyncio.Event()
    position = dict(operator.facts.starts)

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def agent(stream: Any) -> None:
        async for events in stream.take_events(4096, within=0.2):
            watch.first()
            parts: dict[int, list[Any]] = {}
            for event in events:
                parts.setdefault(event.message.partition, []).append(event)
            for partition, each in parts.items():
                after = each[-1].message.offset + 1
                operator(
                    partition,
                    position[partition],
                    after,
                    [e.message.offset for e in each],
                    [int(e.message.timestamp * 1000) for e in each],
                    [e.value for e in each],
                )
                position[partition] = after
            if operator.records >= options.take_records:
                done.set()
                return

    await app.start()
    await done.wait()
    operator.finish()
    return watch.result(operator.records)


def child(options: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    kind, _, only = options.child.partition("-")
    runs = {"worker": run_worker, "plain": run_plain, "take": run_take}
    result = asyncio.run(_bounded(runs[kind](options, kind, part=only or "whole")))
    print(json.dumps(result), flush=True)
    os._exit(0)  # Faust's threads have nothing left to do


async def _bounded(work: Any) -> Any:
    async with asyncio.timeout(600):
        return await work


def measure(kind: str, options: argparse.Namespace, bootstrap: str, topic: str, out: Path) -> dict[str, Any]:
    lake = out / f"{kind}-{time.time_ns()}"
    command = [sys.executable, __file__, "--child", kind, "--bootstrap-servers", bootstrap, "--topic", topic]
    command += ["--lake", str(lake), "--take-records", str(options.take_records)]
    # As the command `worker` sets it for itself; the others get the better of one and all threads, which is this too.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        sys.exit(f"{kind} failed:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--take-records", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma separated")
    parser.add_argument("--bootstrap-servers")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
    import stage
    import traffic

    from pipeline.kafka.broker import EmbeddedKafka

    kinds = options.kinds.split(",")
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-bench-")))
        bootstrap = options.bootstrap_servers or stack.enter_context(EmbeddedKafka()).bootstrap_servers
        topic = f"bench-{time.time_ns()}"
        traffic.new_topic(bootstrap, topic)
        size = sent = 0
        for part in range(0, options.records, 50_000):
            batch = traffic.messages(
                traffic.table(
                    min(50_000, options.records - part),
                    seed=part,
                    accounts=500,
                    hours=0.5,
                    live_from=traffic.START + timedelta(hours=part / 100_000),
                )
            )
            sent += stage.produce(bootstrap, topic, batch)
            size += sum(len(value) for _, value in batch)
        print(f"{sent:,} JSON messages of {size / sent:.0f} bytes in 4 partitions", flush=True)
        results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
        for repeat in range(options.repeats):
            for kind in kinds:
                result = measure(kind, options, bootstrap, topic, out)
                results[kind].append(result)
                print(
                    f"{repeat + 1}. {kind:14} {result['rate']:>9,.0f} records/s  {result['cpu']:6.2f} CPU s",
                    flush=True,
                )
    rows, rate = [], {}
    for kind, runs in results.items():
        rate[kind] = statistics.median(r["rate"] for r in runs)
        cpu = statistics.median(r["cpu"] / r["records"] * 1e6 for r in runs)
        rates = [r["rate"] for r in runs]
        rows.append(
            {
                "path": kind,
                "records": f"{runs[0]['records']:,}",
                "records/s (median)": f"{rate[kind]:,.0f}",
                "lowest to highest": f"{min(rates):,.0f} to {max(rates):,.0f}",
                "CPU us/record": f"{cpu:.1f}",
            }
        )
    stage.table(rows)
    good = True
    for suffix in ("-land", "-decode", ""):
        ours = rate.get(f"worker{suffix}")
        for other, goal in (("take", GOAL_TAKE), ("plain", GOAL_PLAIN)):
            theirs = rate.get(f"{other}{suffix}")
            if ours and theirs:
                print(f"worker{suffix} : {other}{suffix} = {ours / theirs:.2f} (goal {goal:g})")
                good = good and (suffix != "-land" or ours / theirs >= goal)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
