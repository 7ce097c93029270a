"""Files to the lake: nothing lost when interrupted, nothing added when repeated, the same profiles however it is cut."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import SystemClock
from pipeline.ingest import ingest_file
from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.lake.coverage import check_coverage
from pipeline.lake.reader import read_profiles
from pipeline.lake.store import LocalStore
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_json
from pipeline.records.files import decode_file, open_log
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

UNTIMED = {"segment_seconds": float("inf"), "roll_up_seconds": float("inf")}


@pytest.fixture(scope="module")
def traffic() -> pa.Table:
    from datetime import UTC, datetime

    world = build_world(WorldSettings(records=3000, accounts=24, seed=11, attack_share=0.1, days=3.0))
    return pa.concat_tables(list(Traffic(world, datetime(2026, 3, 1, tzinfo=UTC))))


def land(folder, *paths, batch_rows=8192, **settings):
    clock = SystemClock()
    lake = open_or_create_lake(folder, clock=clock)
    engine = engine_for(lake, "numpy")
    decoder = RecordDecoder(lake.config.space, adapter="auto")
    chosen = LandingSettings(**{**UNTIMED, **settings})
    done = [
        ingest_file(lake, engine, decoder, p, clock=clock, settings=chosen, batch_rows=batch_rows)
        for p in paths
    ]
    return lake, engine, done


def digest(lake, engine):
    return read_profiles(lake.snapshot(), engine).digest()


def test_the_same_records_give_the_same_profiles_however_they_are_cut(tmp_path, traffic):
    parquet, lines = tmp_path / "a.parquet", tmp_path / "a.jsonl"
    pq.write_table(traffic, parquet)
    lines.write_bytes(b"\n".join(encode_json(traffic)) + b"\n")
    cuts = [
        (parquet, {"batch_rows": 8192}),
        (parquet, {"batch_rows": 137, "segment_records": 400, "roll_up_records": 900}),
        (lines, {"batch_rows": 1000, "segment_records": 701}),
    ]
    found = set()
    for number, (path, settings) in enumerate(cuts):
        lake, engine, (done,) = land(tmp_path / f"lake{number}", path, **settings)
        assert done.records == traffic.num_rows
        found.add(digest(lake, engine))
    assert len(found) == 1


def test_the_same_file_again_adds_nothing(tmp_path, traffic):
    path = tmp_path / "a.parquet"
    pq.write_table(traffic, path)
    lake, engine, _ = land(tmp_path / "lake", path)
    before = digest(lake, engine)
    lake, engine, (again,) = land(tmp_path / "lake", path)
    assert (again.rows, again.records, again.already_landed) == (0, 0, traffic.num_rows)
    assert digest(lake, engine) == before


def test_a_file_that_has_grown_is_a_new_source_and_says_so(tmp_path, traffic):
    path = tmp_path / "a.jsonl"
    messages = encode_json(traffic)
    path.write_bytes(b"\n".join(messages[:100]) + b"\n")
    land(tmp_path / "lake", path)
    path.write_bytes(b"\n".join(messages[:150]) + b"\n")
    lake, _, (grown,) = land(tmp_path / "lake", path)
    assert grown.changed_from is not None
    assert grown.changed_from != grown.topic_id
    assert grown.records == 150
    assert check_coverage(lake.snapshot()).holds


def test_bad_rows_are_dead_letters_with_file_row_and_reason(tmp_path, traffic):
    messages = encode_json(traffic.slice(0, 5))
    bad = json.loads(messages[2])
    del bad["account_id"]
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"\n".join([messages[0], b"{broken", messages[1], json.dumps(bad).encode(), messages[3]]) + b"\n"
    )
    lake, _, (done,) = land(tmp_path / "lake", path)
    assert (done.records, done.rejected) == (3, 2)
    assert done.reasons == {"not_json": 1, "missing_field": 1}
    from pipeline.warehouse import connect

    with connect(lake.root) as connection:
        rows = connection.execute(
            'select topic, "offset", reason from dead_letters order by "offset"'
        ).fetchall()
    assert rows == [("a.jsonl", 1, "not_json"), ("a.jsonl", 3, "missing_field")]


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_it_goes_on_and_loses_nothing(tmp_path, traffic, seed):
    path, folder = tmp_path / "a.parquet", tmp_path / "lake"
    pq.write_table(traffic, path)
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "ingest",
        "--lake",
        str(folder),
        str(path),
        "--batch-rows",
        "50",
    ]
    command += ["--segment-records", "100"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = 2 + 7 * seed
    while process.poll() is None and len(list(folder.glob("segments/*/*/*.parquet"))) < wanted:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, capture_output=True)
    lake, engine, (done,) = land(folder, path)
    assert done.rows == 0
    coverage = check_coverage(lake.snapshot())
    assert coverage.holds
    assert coverage.chains[0].records == traffic.num_rows
    straight, straight_engine, _ = land(tmp_path / "straight", path)
    assert digest(lake, engine) == digest(straight, straight_engine)


def meanwhile(monkeypatch, when, act):
    """Do something once, right before a file is put that ``when`` picks by its key, as another process would."""
    put_file, done = LocalStore.put_file, []

    def put(self, temporary, key):
        if not done and when(key):
            done.append(key)
            act()
        return put_file(self, temporary, key)

    monkeypatch.setattr(LocalStore, "put_file", put)
    return done


@pytest.mark.parametrize("rolled_up", [0, 1])
def test_a_compaction_during_a_roll_up_does_not_stop_it(tmp_path, traffic, monkeypatch, rolled_up):
    path, settings = tmp_path / "a.parquet", {"segment_records": 300, "batch_rows": 150}
    pq.write_table(traffic, path)
    straight, engine, _ = land(tmp_path / "straight", path)
    lake = open_or_create_lake(tmp_path / "lake", clock=SystemClock())
    rollups = itertools.count()

    def when(key):
        return key.startswith("rollups") and key.endswith(".windows.parquet") and next(rollups) == rolled_up

    done = meanwhile(monkeypatch, when, lambda: compact(Lake.open(lake.root), engine))
    lake, engine, (ingested,) = land(lake.root, path, roll_up_records=700, **settings)
    assert done
    assert (ingested.rows, ingested.records) == (traffic.num_rows, traffic.num_rows)
    assert check_coverage(lake.snapshot()).holds
    assert not lake.snapshot().loose_files()
    assert digest(lake, engine) == digest(straight, engine)


@pytest.mark.parametrize("share", [0.2, 1])
def test_another_ingest_of_the_same_file_meanwhile_is_gone_on_from(tmp_path, traffic, monkeypatch, share):
    path, settings = tmp_path / "a.parquet", {"segment_records": 300, "batch_rows": 150}
    pq.write_table(traffic, path)
    straight, engine, _ = land(tmp_path / "straight", path)
    lake = open_or_create_lake(tmp_path / "lake", clock=SystemClock())
    segments = itertools.count()

    def other():
        """Land the next rows of the same file, as far as it gets."""
        log = open_log(path)
        own = Lake.open(lake.root)
        lander = PartitionLander(
            own,
            engine,
            topic=log.topic,
            topic_id=log.topic_id,
            partition=0,
            cluster_id="files",
            settings=LandingSettings(**UNTIMED),
            clock=SystemClock(),
        )
        began = lander.next_offset
        for first, after, decoded in decode_file(RecordDecoder(own.config.space), log, began, 100):
            lander.accept(decoded, first, after)
            if after - began >= share * traffic.num_rows:
                break
        lander.land()
        theirs.append(lander.next_offset - began)

    theirs = []
    done = meanwhile(monkeypatch, lambda key: key.startswith("segments") and next(segments) == 2, other)
    lake, engine, (ingested,) = land(lake.root, path, **settings)
    assert done
    assert check_coverage(lake.snapshot()).holds
    assert ingested.already_landed == theirs[0] > 0
    assert ingested.rows == ingested.records == traffic.num_rows - theirs[0] > 0
    assert digest(lake, engine) == digest(straight, engine)
