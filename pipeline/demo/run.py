"""The demo from start to end: real Kafka, traffic with known attackers, a real worker, proof, replay, story."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.alerts import live_alerts
from pipeline.assembly import engine_for
from pipeline.demo.processes import WorkerFailed, WorkerProcess, landed
from pipeline.demo.story import Outcome, Queue
from pipeline.errors import DistillwatchError
from pipeline.kafka import client, topics
from pipeline.kafka.broker import EmbeddedKafka
from pipeline.lake import Lake
from pipeline.replay import replay
from pipeline.simulate.labels import read_labels
from pipeline.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pipeline.cli.progress import Steps
    from pipeline.clock import Clock
    from pipeline.scoring import Scoring

TOPIC = "llm-api-logs"
TIMEOUT = 600.0
POLL = 0.25


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Size and seed of the simulated traffic, and where the lake goes."""

    records: int
    accounts: int
    seed: int
    lake: Path


class DemoFailed(DistillwatchError):
    """A step of the demo did not do what it should; the message names the log."""


def run_demo(settings: DemoSettings, clock: Clock, say: Callable[[str], None], steps: Steps) -> Outcome:
    """Run everything and hold the alerts against the truth.

    Parameters
    ----------
    say
        Prints one line of the story.
    steps
        Shows progress.

    Raises
    ------
    DemoFailed, WorkerFailed, BrokerFailed
        Naming the log to look into.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-demo-")))
        began = clock.monotonic()
        kafka = stack.enter_context(
            EmbeddedKafka(
                report=lambda done, total, what="": steps.report(f"fetching Kafka {what}", done, total)
            )
        )
        ids = topics.apply(kafka.bootstrap_servers)
        say(
            f"Kafka        a real one, on {kafka.bootstrap_servers}, ready after {clock.monotonic() - began:.1f} s"
        )
        log = settings.lake.parent / f"{settings.lake.name}-worker.log"
        arguments = [
            "--lake",
            str(settings.lake),
            "--bootstrap-servers",
            kafka.bootstrap_servers,
            "--topic",
            TOPIC,
        ]
        worker = stack.enter_context(WorkerProcess([*arguments, "--segment-seconds", "3"], log))
        labels_file = settings.lake.parent / f"{settings.lake.name}-labels.jsonl"
        _traffic(settings, kafka, ids[TOPIC], worker, labels_file, clock, say, steps, scratch)
        labels = {label.account_id: label for label in read_labels(labels_file)}
        attackers = sum(label.attack for label in labels.values())
        say(
            f"Truth        {attackers} of {len(labels)} accounts attack; the records do not say which ({labels_file})"
        )
        # SIGTERM: it lands what it holds and rolls its windows up.
        code = worker.stop()
        if code != 0:
            msg = f"the worker ended with code {code}; its log is {log} and ends with:\n{worker.tail()}"
            raise DemoFailed(msg)
    lake = Lake.open(settings.lake, clock=clock)
    engine = engine_for(lake)
    live = {alert.subject_id for alert in live_alerts(lake)}
    say(
        f"Live         the worker raised alerts on {len(live)} accounts while the traffic ran; "
        f"{sum(labels[account].attack for account in live)} of them attack"
    )
    proof = verify(lake, engine, report=steps.report)
    say(
        f"Proof        {proof.lost} lost, {proof.twice} twice; {proof.recomputed.windows:,} landed windows recomputed from records, "
        f"{len(proof.recomputed.differences)} differences"
    )
    if not proof.holds:
        msg = f"the lake does not verify; see `distillwatch verify --lake {settings.lake} --all`"
        raise DemoFailed(msg)
    done = replay(lake, engine, clock=clock, report=steps.report)
    assert done.scored is not None
    say(
        f"Replay       {done.recomputed.windows:,} windows recomputed, 0 differences; {len(done.dates)} dates compacted and "
        f"{done.scored.accounts} accounts scored, published together as manifest {done.manifest}"
    )
    return Outcome(labels, done.scored.alerts, _queue(done.scored))


def _traffic(
    settings: DemoSettings,
    kafka: EmbeddedKafka,
    topic_id: str,
    worker: WorkerProcess,
    labels: Path,
    clock: Clock,
    say: Callable[[str], None],
    steps: Steps,
    scratch: Path,
) -> None:
    """Send traffic while the worker lands it, until everything is landed."""
    import threading

    began = clock.monotonic()
    errors = scratch / "simulate.log"
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "simulate",
        "--bootstrap-servers",
        kafka.bootstrap_servers,
    ]
    command += ["--topic", TOPIC, "--records", str(settings.records), "--accounts", str(settings.accounts)]
    command += ["--seed", str(settings.seed), "--labels", str(labels), "--plain-harvests"]
    command += ["--end", _last_monday(clock).strftime("%Y-%m-%d")]
    pause = threading.Event()
    with errors.open("wb") as log:
        simulate = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        with client.connected(kafka.bootstrap_servers) as admin:
            lake: Lake | None = None
            ends: dict[int, int] = {}
            while True:
                worker.check()
                code = simulate.poll()
                if code not in (None, 0):
                    msg = f"sending the traffic ended with code {code}:\n{errors.read_text(errors='replace')[-2000:]}"
                    raise DemoFailed(msg)
                ends = {p: end for p, (_, end) in client.log_ranges(admin, TOPIC).items()}
                if lake is None and (settings.lake / "lake.json").exists():
                    lake = Lake.open(settings.lake, clock=clock)
                done = landed(lake, topic_id, ends) if lake is not None else 0
                steps.report("traffic through Kafka, landed by the worker", done, settings.records)
                if code == 0 and done >= sum(ends.values()):
                    break
                if clock.monotonic() - began > TIMEOUT:
                    msg = f"{done:,} of {settings.records:,} records landed after {TIMEOUT:.0f} s; the worker's log is {worker.log}:\n{worker.tail()}"
                    raise WorkerFailed(msg)
                pause.wait(POLL)
    finally:
        if simulate.poll() is None:
            simulate.kill()
        simulate.wait()
    seconds = clock.monotonic() - began
    assert lake is not None
    segments = len(lake.snapshot().segments)
    say(
        f"Traffic      {settings.records:,} requests of {settings.accounts} accounts over 7 days as single JSON messages, "
        f"landed by a Faust worker in {segments} segments, {seconds:.0f} s"
    )


def _last_monday(clock: Clock) -> datetime:
    """Habits follow the hour and the day of the week: a period that ends there gives a seed the same accounts at any time."""
    now = clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


def _queue(scoring: Scoring) -> Queue:
    rows = [row for row in scoring.tables["account_scores"].to_pylist() if row["score"] is not None]
    rows.sort(key=lambda row: (-row["score"], row["account_id"]))
    return Queue(
        account=[row["account_id"] for row in rows],
        score=[row["score"] for row in rows],
        p_value=[row["p_value"] for row in rows],
        records=[row["records"] for row in rows],
    )
