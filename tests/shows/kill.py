"""Nothing lost, nothing twice: workers are killed again and again while records arrive.

    python tests/shows/kill.py [--records 200000] [--kills 20] [--seed 5] [--bootstrap-servers HOST:PORT]

Two workers read a topic while it is being filled with records whose event times jump back and forth. At random moments one
of them gets `kill -9` and is started again. Then one is stopped (SIGSTOP) with records in its hands until Kafka has given
its partitions away and the other has landed them, and goes on (SIGCONT): a zombie. In the end every offset must be in the
lake exactly once. Exit code 0 only then.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import stage
import traffic

from pipeline.demo.processes import WorkerProcess
from pipeline.kafka import client
from pipeline.kafka.broker import EmbeddedKafka
from pipeline.lake import Lake
from pipeline.lake.coverage import check_coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 180.0


def wait_until(what: str, happened: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            sys.exit(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


class Fleet:
    """Workers that are started again when they are gone."""

    def __init__(self, arguments: list[str], out: Path) -> None:
        self.arguments = arguments
        self.out = out
        self.started = 0

    def start(self) -> WorkerProcess:
        self.started += 1
        return WorkerProcess(self.arguments, self.out / f"worker-{self.started}.log")


def metric(worker: WorkerProcess, name: str) -> float:
    """Sum of one metric over its labels; 0 while the worker does not answer."""
    found = re.findall(r"(http://\S+?)/health", worker.log.read_text(errors="replace"))
    if not found:
        return 0.0
    try:
        with urllib.request.urlopen(f"{found[-1]}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"distillwatch_{name}[ {{]", line)
    )


def landed(lake: Path, topic_id: str) -> int:
    """Offsets landed so far, over all partitions."""
    if not (lake / "lake.json").exists():
        return 0
    opened = Lake.open(lake)
    return sum(opened.head(topic_id, partition) or 0 for partition in range(4))


def produce_in_background(
    bootstrap: str, topic: str, options: argparse.Namespace
) -> tuple[threading.Thread, list[int]]:
    sent = [0]

    def produce() -> None:
        step = 2_000
        for part in range(0, options.records, step):
            table = traffic.table(min(step, options.records - part), seed=part, accounts=300, hours=48)
            sent[0] += stage.produce(bootstrap, topic, traffic.messages(table))
            # Spread over the time that the kills take, or there would be nothing left to disturb.
            time.sleep(options.pause)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    return thread, sent


def kill_at_random(
    fleet: Fleet, workers: list[WorkerProcess], lake: Path, topic_id: str, options: argparse.Namespace
) -> None:
    rng = random.Random(options.seed)
    for number in range(1, options.kills + 1):
        if rng.random() < 0.2:
            # Any moment at all: starting, joining, fetching.
            time.sleep(rng.uniform(0.0, 6.0))
        else:
            # In the middle of work: some records further than the last kill.
            goal = landed(lake, topic_id) + rng.randint(1, max(1, options.records // (2 * options.kills)))
            deadline = time.monotonic() + 30.0
            while landed(lake, topic_id) < goal and time.monotonic() < deadline:
                time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.4))
        slot = rng.randrange(len(workers))
        workers[slot].check()
        workers[slot].process.kill()
        workers[slot].process.wait()
        print(f"kill {number:2}: worker {slot + 1}, {landed(lake, topic_id):,} offsets landed", flush=True)
        workers[slot] = fleet.start()


def zombie(workers: list[WorkerProcess], lake: Path, bootstrap: str, topic: str, topic_id: str) -> int:
    """Stop one worker with records in its hands until another landed them; returns records sent for it."""
    wait_until(
        "both workers own partitions", lambda: all(metric(w, "assigned_partitions") == 2 for w in workers)
    )
    sent = stage.produce(
        bootstrap, topic, traffic.messages(traffic.table(1_500, seed=77, accounts=300, prefix="z"))
    )
    undead = workers[0]
    wait_until("the worker holds records", lambda: metric(undead, "held_records") > 0)
    lost_before = metric(undead, "chain_moves_total")
    undead.process.send_signal(signal.SIGSTOP)
    with client.connected(bootstrap) as admin:
        end = sum(stop for _, stop in client.log_ranges(admin, topic).values())
    wait_until("the other worker landed what the stopped one holds", lambda: landed(lake, topic_id) == end)
    joined = undead.log.read_text().count("assigned partitions")
    undead.process.send_signal(signal.SIGCONT)
    wait_until(
        "the zombie found out and joined again",
        lambda: undead.log.read_text().count("assigned partitions") > joined,
    )
    lost = metric(undead, "chain_moves_total") - lost_before
    print(f"zombie: held records of its partitions, lost {lost:.0f} put(s), joined again", flush=True)
    return sent


def prove(lake: Path, sent: int, topic_id: str, bootstrap: str, topic: str) -> bool:
    """Every offset once, by the lake's own proof and by counting request ids."""
    snapshot = Lake.open(lake).snapshot()
    coverage = check_coverage(snapshot)
    for finding in coverage.findings:
        print(f"FOUND: {finding}")
    with client.connected(bootstrap) as admin:
        ranges = client.log_ranges(admin, topic)
    behind = sum(end - (snapshot.vector.get(f"{topic_id}/{p}") or 0) for p, (_, end) in ranges.items())
    ids: list[str] = []
    for segment in snapshot.segments:
        ids += pq.read_table(lake / segment.key, columns=["request_id"]).column("request_id").to_pylist()
    twice, missing = len(ids) - len(set(ids)), sent - len(set(ids))
    print(
        f"sent {sent:,}, landed {len(ids):,} records in {len(snapshot.segments)} segments and {len(snapshot.rollups)} roll-ups"
    )
    print(
        f"{missing + behind} lost, {twice} twice; coverage proof {'holds' if coverage.holds else 'FAILS'}",
        flush=True,
    )
    return coverage.holds and not (twice or missing or behind)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between 2,000 records")
    parser.add_argument("--no-zombie", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-kill-")))
        bootstrap = options.bootstrap_servers or stack.enter_context(EmbeddedKafka()).bootstrap_servers
        lake, topic = out / "lake", f"kill-{time.time_ns()}"
        traffic.new_topic(bootstrap, topic)
        with client.connected(bootstrap) as admin:
            topic_id = client.topic_id(admin, topic)
        arguments = [
            "--lake",
            str(lake),
            "--bootstrap-servers",
            bootstrap,
            "--topic",
            topic,
            "--group",
            topic,
        ]
        arguments += ["--session-seconds", "6", "--segment-records", "1000", "--segment-seconds", "3"]
        arguments += ["--roll-up-records", "20000", "--roll-up-seconds", "10"]
        fleet = Fleet(arguments, out)
        workers: list[WorkerProcess] = []
        stack.callback(lambda: [w.process.kill() for w in workers])
        workers += [fleet.start(), fleet.start()]
        producing, sent = produce_in_background(bootstrap, topic, options)
        with logs_on_failure(workers):
            kill_at_random(fleet, workers, lake, topic_id, options)
            producing.join()
            total = sent[0]
            if not options.no_zombie:
                total += zombie(workers, lake, bootstrap, topic, topic_id)
            for worker in workers:
                worker.stop()
            with WorkerProcess([*arguments, "--until-caught-up"], out / "last.log") as last:
                last.wait(PATIENCE)
            good = prove(lake, total, topic_id, bootstrap, topic)
        print(f"{options.kills} kills over {fleet.started} workers in {time.monotonic() - began:.0f} s")
    return 0 if good else 1


@contextlib.contextmanager
def logs_on_failure(workers: list[WorkerProcess]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for worker in workers:
            print(f"--- {worker.log.name}\n{worker.tail(40)}", file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(main())
