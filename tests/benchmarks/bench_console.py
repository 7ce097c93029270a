"""What the console costs on large lakes: ``python tests/benchmarks/bench_console.py [--windows 1 10] [--repeats 20]``.

Makes a lake for each number of million window rows: a simulated week, landed and scored, and beside it made-up accounts of
100 windows each (ten a day on ten days, one record a window), written in the lake's own formats as runs of compacted days,
with scores of their own. Then starts the console in a process of its own with two sessions, and asks over HTTP, one
request at a time, for other accounts each time: the queue's first page under changing facets, the page of an account (what
comes with it at first, and all its sections), and the ten playbooks that pages use most. Prints the median and the 95th
percentile, the processor's time of a request (server and sessions; without that of a session which was
ended for what it still held), and the memory of server and sessions at the end (resident; the sessions' after the last query, and the most
that any had). ``--lake DIR`` keeps the lakes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.clock import SystemClock
from pipeline.console import ConsoleSettings, create_app
from pipeline.console.screenshots import simulated
from pipeline.console.start import listening
from pipeline.lake import Lake
from pipeline.lake.manifest import RunFile, Span
from pipeline.lake.parquet import LIGHT_ROW_GROUP, RECORDS_ROW_GROUP, LakeFileWriter
from pipeline.profiles.schema import ASKABLE_FIELDS, LIGHT_FIELDS, WINDOWS_SCHEMA
from pipeline.records.schema import segment_schema
from pipeline.tables import table_schema

DAYS, A_DAY = 10, 10
WINDOWS_EACH = DAYS * A_DAY
FIRST_DAY = np.datetime64("2026-11-10", "D")
NOISES = 4096

PLAYBOOKS = (
    "account_timeline",
    "why_flagged",
    "account_records",
    "account_parameters",
    "account_networks",
    "account_repeats",
    "who_shares_networks_or_payment",
    "similar_accounts",
    "topic_coverage_against_class",
    "data_freshness_and_gaps",
)
PARTS = (
    "parameters",
    "repeats",
    "hours",
    "networks",
    "shared",
    "similar",
    "alerts",
    "scores",
    "changes",
    "verdicts",
    "provenance",
)
FACETS = (
    "",
    "?decision=",
    "?decision=clear",
    "?decision=&subject_kind=cluster",
    "?decision=&min_records=200",
    "?decision=&q=a7&page=2",
)


def names(accounts: int) -> pa.Array:
    """Names spread over the alphabet, as hashes are; sorted."""
    drawn = np.unique(np.random.default_rng(7).integers(0, 2**48, accounts * 2))[:accounts]
    if len(drawn) < accounts:
        msg = "names met"
        raise RuntimeError(msg)
    return pa.array([f"acct_{value:012x}" for value in drawn])


def day_of(lake: Lake, who: pa.Array, day: int) -> tuple[pa.Table, pa.Table]:
    """Windows and records of one day: ten windows of each account, one record in each."""
    rng = np.random.default_rng([day, len(who)])
    accounts, rows = len(who), len(who) * A_DAY
    hours = np.sort(np.argsort(rng.random((accounts, 24)), axis=1)[:, :A_DAY], axis=1).ravel()
    owner = np.repeat(np.arange(accounts), A_DAY)
    habits = np.random.default_rng(11)
    topics = habits.integers(0, 256, (accounts, 12))[owner, rng.integers(0, 12, rows)]
    own = {
        name: habits.integers(0, size, accounts)[owner]
        for name, size in (
            ("model", 4),
            ("temperature", 5),
            ("network", 4 * accounts),
            ("payment", accounts),
            ("agent", 40),
            ("template", 500),
            ("class", 10),
        )
    }
    account = pa.DictionaryArray.from_arrays(pa.array(owner, pa.int32()), who).cast(pa.string())
    start = (FIRST_DAY + np.timedelta64(day, "D")).astype("datetime64[us]") + hours.astype("timedelta64[h]")
    tokens = rng.integers(10, 3000, (2, rows))
    seconds = rng.integers(0, 3600, rows)

    def buckets(values: Any) -> pa.Array:
        made = pa.StructArray.from_arrays(
            [pa.array(values.astype(np.int32)), pa.array(np.ones(rows, np.int64))], names=["bucket", "count"]
        )
        return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32)), made)

    light = {
        "records": np.ones(rows, np.int64),
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "embedding_norm2": np.full(rows, 126_000),
        "streamed": rng.integers(0, 2, rows),
    }
    fields = {
        "topic_count": topics,
        "input_tokens_histogram": np.log2(tokens[0]).astype(int) + 1,
        "output_tokens_histogram": np.log2(tokens[1]).astype(int) + 1,
        "latency_histogram": rng.integers(8, 14, rows),
        "minute_histogram": seconds // 60,
        "hour_histogram": hours,
        "sampling_hashed_count": own["temperature"],
        "template_hashed_count": own["template"] % 64,
        "system_prompt_hashed_count": own["class"],
        "client_network_hashed_count": own["network"] % 64,
        "user_agent_hashed_count": own["agent"],
        "model_hashed_count": own["model"],
    }
    assert set(fields) == set(ASKABLE_FIELDS)
    nothing = np.zeros(rows, np.int64)
    windows = pa.table(
        [
            account,
            pa.array(start),
            *(pa.array(light.get(name, nothing)) for name in LIGHT_FIELDS),
            *(buckets(fields[name]) for name in ASKABLE_FIELDS),
        ],
        schema=WINDOWS_SCHEMA,
    )
    space = lake.config.space
    pool = np.random.default_rng(3).integers(-40, 40, (NOISES, space.dimension), dtype=np.int8)

    def text(values: Any, form: str) -> pa.Array:
        found, at = np.unique(values, return_inverse=True)
        return pa.DictionaryArray.from_arrays(
            pa.array(at, pa.int32()), pa.array([form.format(value) for value in found])
        ).cast(pa.string())

    columns: dict[str, Any] = {
        "topic_id": pa.repeat(pa.scalar("id-of-bulk"), rows),
        "topic": pa.repeat(pa.scalar("bulk"), rows),
        "partition": pa.array(np.zeros(rows, np.int32)),
        "offset": pa.array(day * rows + np.arange(rows)),
        "row": pa.array(np.zeros(rows, np.int32)),
        "kind": pa.repeat(pa.scalar("record"), rows),
        "account_id": account,
        "event_time": pa.array(start + seconds.astype("timedelta64[s]")),
        "request_id": pc.binary_join_element_wise(
            pa.scalar(f"req_{day}"), pa.array(np.arange(rows)).cast(pa.string()), "-"
        ),
        "embedding": pa.Array.from_buffers(
            pa.binary(space.dimension), rows, [None, pa.py_buffer(pool[rng.integers(0, NOISES, rows)])]
        ),
        "embedding_model": pa.repeat(pa.scalar(space.model), rows),
        "model": text(own["model"], "model-{}"),
        "input_tokens": pa.array(tokens[0]),
        "output_tokens": pa.array(tokens[1]),
        "temperature": pa.array(own["temperature"] / 5),
        "prompt_hash": pa.array(rng.integers(0, 2**62, rows).astype(np.uint64)),
        "template_hash": pa.array(own["template"].astype(np.uint64)),
        "system_prompt_hash": pa.array(own["class"].astype(np.uint64)),
        "client_network": text(own["network"], "10.{}/24"),
        "payment_id": text(own["payment"], "pay_{}"),
        "user_agent": text(own["agent"], "agent/{}"),
        "status": pa.repeat(pa.scalar("ok"), rows),
        "latency_ms": pa.array(rng.integers(100, 9000, rows)),
    }
    schema = segment_schema(space)
    records = pa.table(
        [columns.get(field.name, pa.nulls(rows, field.type)).cast(field.type) for field in schema],
        schema=schema,
    )
    return windows, records


def grow(folder: Path, small: Path, millions: float) -> Path:
    """A copy of a small lake with so many window rows more."""
    shutil.copytree(small, folder)
    lake = Lake.open(folder)
    who = names(round(millions * 1e6 / WINDOWS_EACH))
    lake.begin("id-of-bulk", 0, topic="bulk", start=0, cluster_id="bench", clock=SystemClock())
    files, run_id = [], f"bench{int(millions * 1000):027d}"
    for day in range(DAYS):
        date = str(FIRST_DAY + np.timedelta64(day, "D"))
        windows, records = day_of(lake, who, day)
        for kind, table, group in (
            ("windows", windows, LIGHT_ROW_GROUP),
            ("records", records, RECORDS_ROW_GROUP),
        ):
            key = f"runs/{run_id}/date={date}/{kind}.parquet"
            path = lake.store.path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = LakeFileWriter(path, table.schema, row_group=group)
            writer.write(table)
            writer.close({"date": date, "kind": kind})
            files.append(RunFile(run_id, date, kind, key, table.num_rows, path.stat().st_size, "0" * 64))
    count = len(who) * WINDOWS_EACH
    span = Span(0, count, 1, count, 0, 0, "0" * 64, run_id)
    chain = "id-of-bulk/0"
    scores = lake.put_table("account_scores", scores_of(lake, who))
    lake.publish(
        lambda manifest: manifest.with_run(
            run_id, about={"created_at": "2026-11-24T00:00:00"}, files=files, spans={chain: span}
        ).with_tables("account_scores", [scores])
    )
    return folder


def scores_of(lake: Lake, who: pa.Array) -> pa.Table:
    """Everybody's scores: the simulated accounts' own, and theirs once more under the made-up names."""
    real = pa.concat_tables([pq.read_table(path) for path in lake.snapshot().table_files("account_scores")])
    drawn = np.random.default_rng(5).integers(0, real.num_rows, len(who))
    made = real.take(pa.array(drawn)).set_column(0, "account_id", who)
    decision = made.column("decision").to_pylist()
    # As many alerts as a lake has, not as many as a sample of a small one.
    kept = pa.array(["clear" if each == "alert" and n % 20 else each for n, each in enumerate(decision)])
    made = made.set_column(made.schema.get_field_index("decision"), "decision", kept)
    schema = table_schema("account_scores")
    return pa.concat_tables([real.select(schema.names).cast(schema), made.select(schema.names).cast(schema)])


def serve(lake: Path, port: Any, token: Any) -> None:
    """The console, in a process of its own."""
    import uvicorn

    app = create_app(ConsoleSettings(lake=lake, seconds=120))
    place = listening("127.0.0.1", 0)
    users = {each["name"] for each in app.console.users.every()}
    token.send(
        app.console.users.token("bench") if "bench" in users else app.console.users.add("bench", "approver")
    )
    port.send(place.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[place])


class Watch:
    """Resident memory of a process and of what it started."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.most_child = 0.0

    def seconds(self) -> float:
        """Of the processor, that they took so far; what other programs on the machine do is not in it."""
        spent = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            spent += times.user + times.system
        return spent

    def look(self) -> tuple[float, float]:
        """(server, its sessions together), MB."""
        own = self._process.memory_info().rss / 1e6
        children = []
        for child in self._process.children(recursive=True):
            try:
                children.append(child.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
        self.most_child = max(self.most_child, *children, 0.0)
        return own, sum(children)


def enter(base: str, token: str) -> httpx.Client:
    client = httpx.Client(base_url=base, timeout=180)
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)
    assert csrf is not None
    assert client.post("/login", data={"csrf": csrf[1], "token": token, "next": ""}).status_code == 303
    return client


def timed(client: httpx.Client, paths: list[str], watch: Watch) -> list[tuple[float, float]]:
    """(ms on the wall, ms of the processor) of each request."""
    found = []
    for path in paths:
        spent = watch.seconds()
        began = time.perf_counter()
        answer = client.get(path)
        wall = (time.perf_counter() - began) * 1000
        found.append((wall, max(0.0, watch.seconds() - spent) * 1000))
        # A playbook that ran into a limit is answered too: as a problem.
        assert answer.status_code == 200, (path, answer.status_code)
        assert 'class="problem"' not in answer.text, (
            path,
            re.findall(r'class="problem"[^>]*>([^<]+)', answer.text),
        )
        watch.look()
    return found


def percentile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))


def measure(lake: Path, repeats: int) -> dict[str, tuple[float, float, float]]:
    context = multiprocessing.get_context("spawn")
    port, port_end = context.Pipe(duplex=False)
    token, token_end = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(lake, port_end, token_end))
    server.start()
    client = None
    try:
        secret, base = token.recv(), f"http://127.0.0.1:{port.recv()}"
        watch = Watch(server.pid or 0)
        client = enter(base, secret)
        client.get("/queue")
        before = watch.look()
        scores = pq.read_table(
            Lake.open(lake).snapshot().table_files("account_scores")[0], columns=["account_id", "decision"]
        )
        everybody = scores.column("account_id").to_pylist()
        rng = np.random.default_rng(1)

        def some() -> list[str]:
            return [everybody[i] for i in rng.choice(len(everybody), repeats, replace=False)]

        found = {
            "queue page": timed(client, [f"/queue{FACETS[i % len(FACETS)]}" for i in range(repeats)], watch),
            "account page": timed(client, [f"/account?id={name}" for name in some()], watch),
        }
        whole = []
        for name in some()[: max(3, repeats // 4)]:
            parts = [f"/account?id={name}", *(f"/account/part?id={name}&part={part}" for part in PARTS)]
            walls, spent = zip(*timed(client, parts, watch), strict=True)
            whole += [(sum(walls), sum(spent))]
        found["account page and all its sections"] = whole
        for playbook in PLAYBOOKS:
            asked = "" if playbook == "data_freshness_and_gaps" else "&p.account_id={}"
            found[playbook] = timed(
                client, [f"/playbooks?name={playbook}&run=1" + asked.format(name) for name in some()], watch
            )
        own, sessions = watch.look()
        print(
            f"  memory: server {own:.0f} MB (after the first page {before[0]:.0f}), sessions together {sessions:.0f} MB, one at most {watch.most_child:.0f} MB"
        )
        return {
            name: (
                statistics.median(wall for wall, _ in values),
                percentile([wall for wall, _ in values], 0.95),
                statistics.median(spent for _, spent in values),
            )
            for name, values in found.items()
        }
    finally:
        if client is not None:
            client.close()
        server.terminate()
        server.join(30)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=float, nargs="+", default=[1.0], help="millions of window rows")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None, help="where temporary lakes are made")
    parser.add_argument("--lake", type=Path, default=None, help="keep the lakes here, or use those there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = options.lake or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        small = folder / "simulated"
        if not small.exists():
            simulated(folder)
        tables = {}
        for millions in options.windows:
            lake = folder / f"windows-{millions:g}m"
            began = time.perf_counter()
            if not lake.exists():
                grow(lake, small, millions)
            size = sum(path.stat().st_size for path in lake.rglob("*.parquet")) / 1e9
            print(
                f"{millions:g} million window rows, {millions * 1e6 / WINDOWS_EACH:,.0f} accounts, {size:.1f} GB, {datetime.now(UTC):%Y-%m-%d}; ready in {time.perf_counter() - began:.0f} s",
                flush=True,
            )
            tables[millions] = measure(lake, options.repeats)
            for name, (median, high, spent) in tables[millions].items():
                print(
                    f"  {name:36} p50 {median:7.0f} ms   p95 {high:7.0f} ms   processor {spent:7.0f} ms",
                    flush=True,
                )
        first, last = options.windows[0], options.windows[-1]
        if first != last:
            print(f"growth of the median from {first:g} to {last:g} million:")
            for name, (median, _, _) in tables[first].items():
                print(f"  {name:36} {tables[last][name][0] / median:5.1f}x")


if __name__ == "__main__":
    main(sys.argv[1:])
