"""What the shows share: a broker and topics of their own, producing, running a worker, reading digests."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.demo.processes import WorkerProcess
from pipeline.kafka import client, topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


def distillwatch(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line and return what it printed."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and result.returncode != 0:
        sys.exit(f"{' '.join(command[2:])} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return result


def as_json(*arguments: str | Path) -> Any:
    return json.loads(distillwatch(*arguments, "--format", "json").stdout)


def digest(lake: Path) -> dict[str, Any]:
    rows = as_json("digest", "--lake", lake)
    return rows[0]


def new_topic(bootstrap: str, name: str, partitions: int = 4) -> None:
    """A topic with the settings of ``llm-api-logs`` under another name."""
    like = next(t for t in topics.defined() if t.name == "llm-api-logs")
    topics.apply(bootstrap, topics=[replace(like, name=name, partitions=partitions), *topics.defined()[1:]])


def produce(bootstrap: str, topic: str, messages: Iterable[tuple[bytes | None, bytes | None]]) -> int:
    """Send (key, value) pairs as fast as the broker takes them and wait for all acknowledgements."""
    producer = client.producer(bootstrap)
    sent = 0
    try:
        for key, value in messages:
            producer.send(topic, key=key, value=value)
            sent += 1
        producer.flush()
    finally:
        producer.close()
    return sent


def run_worker(lake: Path, bootstrap: str, topic: str, log: Path, *extra: str, timeout: float = 600) -> float:
    """Run one worker until it has caught up; returns its seconds."""
    began = time.monotonic()
    arguments = [
        "--lake",
        str(lake),
        "--bootstrap-servers",
        bootstrap,
        "--topic",
        topic,
        "--until-caught-up",
        "--group",
        f"{topic}-{lake.name}",
        *extra,
    ]
    with WorkerProcess(arguments, log) as worker:
        worker.wait(timeout)
    return time.monotonic() - began


def await_that(condition: Callable[[], Any], worker: WorkerProcess, timeout: float = 120) -> None:
    """Return when the condition holds; give up when the worker ends or time runs out."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        worker.check()
        if time.monotonic() > deadline:
            sys.exit(
                f"waited {timeout:.0f} s in vain; the worker's log {worker.log} ends with:\n{worker.tail()}"
            )
        pause.wait(0.05)


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Plain aligned columns."""
    names = list(rows[0])
    cells = [[str(r[n]) for n in names] for r in rows]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]
    for line in [names, *cells]:
        print("  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip(), flush=True)
