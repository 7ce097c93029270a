"""What scoring costs: ``python tests/benchmarks/bench_scoring.py [--accounts 100000] [--records 60] [--workers 2]``.

Makes a lake of so many accounts with about ``--records`` records each (Poisson, so that at 60 nine in ten can be
scored; ``--spread S``: log-normal around that median), landed and rolled up, and judges it in a process of its own.
Records lie in six hours of a week for each account: six windows. Timed is `judge_lake` alone, from opened lake to
finished tables in memory: reading profiles and records, every signal, ranks, scores, classes, clusters, alerts. Making
the lake is not timed, writing the result files is timed apart.

Printed are wall seconds and the largest memory of each stage; a stage that calls another does not count its time,
and what other processes do counts where they are waited for (signals and ties of a shared reading, as reading). With
``--workers`` above 1 the largest worker's memory too. Lakes above `DETAIL` scorable accounts are read in detail by sample
and candidates. ``--lake`` names a folder where the made lake is kept and found again; ``--no-clusters`` finds none.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import inspect
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

from pipeline import cluster_scoring, lake_accounts, lake_details, scoring
from pipeline.clusters.ties import AccountTies
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.forest import ForestDetector
from pipeline.lake import Lake
from pipeline.records.schema import OPTIONAL_FIELDS, record_schema
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.landing import PartitionLander

SPACE = EmbeddingSpace()
BATCH = 4000
"""Accounts of a segment."""

DAYS, TOPICS, NOISES = 7, 64, 4096
MAKERS = 2
"""Processes that make the lake, a partition each."""

MOST_RECORDS = 5000

STAGES: dict[str, list[tuple[Any, str]]] = {
    "read profiles": [(scoring, "read_accounts")],
    "profile signals": [(lake_accounts, "signal_table"), (lake_accounts.LakeAccounts, "with_population")],
    "first stage": [(scoring, "_first_stage")],
    "details: profiles": [(lake_details, "_summed"), (lake_details, "_held")],
    "details: signals": [(scoring, "read_details")],
    "reference": [(ForestDetector, "reference")],
    "judge": [(scoring, "judged"), (ForestDetector, "judge")],
    "classes": [(scoring, "find_classes"), (scoring, "likeness"), (scoring, "class_column")],
    "clusters: ties": [(AccountTies, "of"), (AccountTies, "joined"), (scoring, "payments_of")],
    "clusters": [(scoring, "judge_groups"), (cluster_scoring, "find_and_judge_clusters")],
    "alerts": [(scoring, name) for name in ("_account_alerts", "_cluster_alerts")],
    "tables": [
        (scoring, name)
        for name in ("account_rows", "cluster_rows", "member_rows", "alert_table", "edge_rows", "change_rows")
    ],
    "write tables": [(scoring, "publication")],
}
"""What is timed as what; a function that there is not is passed over."""


def make_records(
    first: int, accounts: int, each: int, spread: float, offset: int, lander: PartitionLander
) -> pa.Table:
    """Accounts with a few topics, a few hours and some repeated prompts each."""
    rng = np.random.default_rng([first, accounts, each])
    fixed = np.random.default_rng(0)
    centres = fixed.standard_normal((TOPICS, SPACE.dimension))
    noises = fixed.standard_normal((NOISES, SPACE.dimension)).astype(np.float32)
    if spread:
        size = np.clip(rng.lognormal(np.log(each), spread, accounts), 1, MOST_RECORDS).astype(np.int64)
    else:
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
        "topic_id": [lander.chain.topic_id] * count,
        "topic": [lander.topic] * count,
        "partition": np.full(count, lander.chain.partition, np.int32),
        "offset": offset + np.arange(count),
        "row": np.zeros(count, np.int32),
        "request_id": [f"r{first}-{i}" for i in range(count)],
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


def fill(folder: Path, accounts: int, each: int, spread: float) -> None:
    """Land the records, in several processes with a partition each."""
    make_lake(folder, space=SPACE)
    makers = [
        multiprocessing.get_context("spawn").Process(
            target=_fill, args=(folder, accounts, each, spread, number)
        )
        for number in range(MAKERS)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
        if maker.exitcode:
            sys.exit("making the lake failed")


def _fill(folder: Path, accounts: int, each: int, spread: float, partition: int) -> None:
    """The segments of one partition."""
    lander = make_lander(Lake.open(folder), settings=NEVER, partition=partition)
    offset = 0
    for first in range(partition * BATCH, accounts, MAKERS * BATCH):
        some = min(BATCH, accounts - first)
        table = make_records(first, some, each, spread, offset, lander)
        lander.accept(decoded(table), offset, offset + table.num_rows)
        offset += table.num_rows
        lander.land()
        lander.roll_up()


class Stopwatch:
    """Seconds and largest memory of each stage; the innermost one that runs has both."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.busy: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self._running = ["else"]
        self._since, self._worked = time.perf_counter(), _busy()

    def _turn(self) -> None:
        now, worked, stage = time.perf_counter(), _busy(), self._running[-1]
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self.busy[stage] = self.busy.get(stage, 0.0) + worked - self._worked
        self.memory[stage] = max(self.memory.get(stage, 0.0), _peak())
        self._since, self._worked = time.perf_counter(), _busy()

    def watch(self, stage: str, holder: Any, name: str) -> None:
        """Time what is called under this name."""
        inner = inspect.getattr_static(holder, name, None)
        if inner is None:
            return
        plain: Callable[..., Any] = inner.__func__ if isinstance(inner, classmethod) else inner

        @functools.wraps(plain)
        def outer(*arguments: Any, **options: Any) -> Any:
            self._turn()
            self._running.append(stage)
            try:
                return plain(*arguments, **options)
            finally:
                self._turn()
                self._running.pop()

        setattr(holder, name, classmethod(outer) if isinstance(inner, classmethod) else outer)

    def stop(self) -> None:
        """Count what ran last."""
        self._turn()

    def say(self) -> None:
        """A line for each stage, in the order of the registry."""
        for stage in [*STAGES, "else"]:
            if stage in self.seconds:
                print(
                    f"  {stage:18} {self.seconds[stage]:7.1f} s wall {self.busy[stage]:7.1f} s CPU {self.memory[stage]:6.2f} GB"
                )


def _busy() -> float:
    """Processor seconds so far, those of ended workers too."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak() -> float:
    """Largest memory since the last call in GB; where the system does not say, since the process began."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def judge(folder: Path, workers: int, clusters: bool, profile: Path | None) -> None:
    """Judge the lake, and print what it cost."""
    if not clusters:
        from pipeline.clusters.run import find_and_judge_clusters as found_among

        nobody = AccountTies.joined([], SPACE.dimension)

        def among_nobody(ties: AccountTies, *arguments: Any, **options: Any) -> Any:
            del ties
            return found_among(nobody, *arguments, **options)

        setattr(cluster_scoring, "find_and_judge_clusters", among_nobody)  # noqa: B010
    kept: list[Any] = []
    read = lake_details.read_details

    def reading(*arguments: Any, **options: Any) -> Any:
        kept.append(read(*arguments, **options))
        return kept[-1]

    setattr(scoring, "read_details", reading)  # noqa: B010 -- not a name that the module hands on
    watch = Stopwatch()
    for stage, functions in STAGES.items():
        for holder, name in functions:
            watch.watch(stage, holder, name)
    lake = Lake.open(folder)
    snapshot = lake.snapshot()
    profiler = cProfile.Profile() if profile else None
    began, busy = time.perf_counter(), _busy()
    if profiler is not None:
        profiler.enable()
    found = scoring.judge_lake(snapshot, engine(SPACE), workers=workers)
    wall, cpu = time.perf_counter() - began, _busy() - busy
    scoring.publication(lake, found)
    if profiler is not None and profile is not None:
        profiler.disable()
        profiler.dump_stats(profile)
    watch.stop()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch.say()
    table = kept[0].table
    print(
        f"judge_lake {wall:.1f} s wall, {cpu:.1f} s CPU, {workers} workers; {found.accounts:,} accounts with "
        f"{int(table.records.sum()):,} records, {int((table.records >= MIN_RECORDS).sum()):,} scorable, "
        f"{int(kept[0].detailed.sum()):,} in detail, of these {int(kept[0].sampled.sum()):,} sampled; "
        f"{found.tables['cluster_scores'].num_rows} clusters, {len(found.alerts)} alerts"
    )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"  memory {max(own, *watch.memory.values()):.2f} GB at most"
        + (f", {children.ru_maxrss / 1e6:.2f} GB a worker" if workers > 1 else "")
    )


def main(arguments: Any) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--spread", type=float, default=0.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--folder", type=Path, default=None, help="where temporary lakes are made")
    parser.add_argument("--lake", type=Path, default=None, help="keep the lake here, or judge the one there")
    parser.add_argument("--no-clusters", action="store_true")
    parser.add_argument("--profile", type=Path, default=None, help="write what cProfile found here")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = options.lake or Path(temporary) / "lake"
        if not folder.exists():
            began = time.perf_counter()
            fill(folder, options.accounts, options.records, options.spread)
            print(f"  made, landed and rolled up in {time.perf_counter() - began:.1f} s", flush=True)
        for workers in options.workers:
            judging = multiprocessing.get_context("spawn").Process(
                target=judge, args=(folder, workers, not options.no_clusters, options.profile)
            )
            judging.start()
            judging.join()
            if judging.exitcode:
                sys.exit(judging.exitcode)


if __name__ == "__main__":
    main(sys.argv[1:])
