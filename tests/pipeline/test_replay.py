"""The nightly job: equal before and after, idempotent, resumable after a kill, and loud about a difference."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import SystemClock
from pipeline.errors import ChainMoved, VerificationFailed
from pipeline.ingest import ingest_file
from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.lake.parquet import LIGHT_ROW_GROUP, LakeFileWriter, read_footer
from pipeline.lake.reader import read_profiles
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_json
from pipeline.replay import replay
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.verification import verify

CLOCK = SystemClock()
SETTINGS = LandingSettings(
    segment_records=300, roll_up_records=700, segment_seconds=float("inf"), roll_up_seconds=float("inf")
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    world = build_world(WorldSettings(records=2400, accounts=20, seed=5, attack_share=0.1, days=3.0))
    table = pa.concat_tables(list(Traffic(world, datetime(2026, 3, 1, tzinfo=UTC))))
    pq.write_table(table.slice(0, 1600), folder / "first.parquet")
    pq.write_table(table.slice(1600), folder / "second.parquet")
    return folder


@pytest.fixture
def lake(tmp_path, files):
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    add(lake, files / "first.parquet")
    return lake


def add(lake, path):
    ingest_file(
        lake,
        engine_for(lake, "numpy"),
        RecordDecoder(lake.config.space),
        path,
        clock=CLOCK,
        settings=SETTINGS,
    )


def digest(lake):
    return read_profiles(lake.snapshot(), engine_for(lake, "numpy")).digest()


def run(lake, **options):
    return replay(lake, engine_for(lake, "numpy"), clock=CLOCK, score=False, **options)


def test_profiles_are_equal_before_and_after_and_everything_is_absorbed(lake):
    before = digest(lake)
    done = run(lake)
    assert done.digest == before == digest(lake)
    assert done.published
    assert not lake.snapshot().segments
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


def test_a_second_replay_publishes_nothing(lake):
    run(lake)
    again = run(lake)
    assert (again.run_id, again.published) == (None, False)


def test_what_lands_later_is_absorbed_beside_it(lake, files):
    run(lake)
    add(lake, files / "second.parquet")
    landed = digest(lake)
    done = run(lake)
    assert done.published
    assert done.digest == landed == digest(lake)
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


def test_a_date_selects_what_is_compared_and_not_what_is_absorbed(lake):
    day = date(2026, 2, 27)
    done = run(lake, day=day)
    profiles = read_profiles(
        lake.snapshot(),
        engine_for(lake, "numpy"),
        start=datetime(2026, 2, 27, tzinfo=UTC),
        stop=datetime(2026, 2, 28, tzinfo=UTC),
    )
    # Roll-ups are deltas: a window may have been landed in several.
    assert done.recomputed.windows >= len(profiles) > 0
    assert not lake.snapshot().segments


def rewrite(path, change):
    footer = read_footer(path)
    table = change(pq.read_table(path, partitioning=None))
    other = path.with_suffix(".new")
    with LakeFileWriter(other, table.schema, row_group=LIGHT_ROW_GROUP) as writer:
        writer.write(table)
        writer.close(footer.metadata)
    other.replace(path)


def falsify(path):
    def change(table):
        index = table.schema.get_field_index("input_tokens")
        values = pa.array([v.as_py() + 1 for v in table.column("input_tokens")], pa.int64())
        return table.set_column(index, table.schema.field(index), values)

    rewrite(path, change)


def test_a_falsified_window_is_named_and_nothing_is_published(lake):
    falsify(lake.snapshot().window_files()[0])
    with pytest.raises(VerificationFailed, match="input_tokens: landed"):
        run(lake)
    assert lake.manifest().number == 0
    result = verify(lake, engine_for(lake, "numpy"), sample=None)
    assert not result.holds
    assert any(f.check == "recompute" and "input_tokens" in f.expected + f.where for f in result.errors)


def test_a_falsified_window_is_replaced_when_asked(lake, tmp_path, files):
    other = open_or_create_lake(tmp_path / "other", clock=CLOCK)
    add(other, files / "first.parquet")
    falsify(lake.snapshot().window_files()[0])
    done = run(lake, publish_differences=True)
    assert done.recomputed.differences
    assert digest(lake) == digest(other)


@pytest.mark.parametrize("most", [1000, 3])
def test_a_falsified_window_of_a_compacted_date_is_replaced_when_asked(lake, monkeypatch, most):
    monkeypatch.setattr(
        "pipeline.replay.MOST_DIFFERENCES", most
    )  # more than it names: every date is rewritten
    run(lake)
    before = digest(lake)
    files = lake.snapshot().window_files()
    falsify(files[0])
    assert digest(lake) != before
    done = run(lake, publish_differences=True)
    assert done.recomputed.differences
    assert done.published
    assert (len(done.dates) == 1) is (most == 1000)
    assert done.digest == before == digest(lake)
    assert not run(lake).recomputed.differences
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


@pytest.mark.parametrize("dates", [0, 1, 2])
def test_killed_and_started_again_it_goes_on_and_ends_the_same(lake, dates):
    before = digest(lake)
    command = [sys.executable, "-m", "pipeline.cli", "replay", "--lake", str(lake.root), "--no-score"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(lake.root.glob("runs/*/*/done.json"))) < dates:
        pass
    process.kill()
    process.wait()
    done = run(lake)
    assert done.digest == before == digest(lake)
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


class Meanwhile:
    """A replay's ``report``: does something once, at a moment of the replay, as another process would."""

    def __init__(self, moment, act):
        self.moment, self.act, self.done = moment, act, False

    def __call__(self, what, _done, _total):
        if what == self.moment and not self.done:
            self.done = True
            self.act()


@pytest.mark.parametrize("replayed_before", [False, True])
@pytest.mark.parametrize("moment", ["profiles as landed", "recompute"])
def test_what_lands_while_it_runs_waits_for_the_next_one(lake, files, replayed_before, moment):
    if replayed_before:
        run(lake)
    before = digest(lake)
    meanwhile = Meanwhile(moment, lambda: add(Lake.open(lake.root, clock=CLOCK), files / "second.parquet"))
    done = run(lake, report=meanwhile)
    assert meanwhile.done
    assert done.digest == before
    assert done.published is not replayed_before
    assert lake.snapshot().segments
    everything = digest(lake)
    assert everything != before
    assert run(lake).digest == everything == digest(lake)
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


@pytest.mark.parametrize("replayed_before", [False, True])
def test_another_compaction_meanwhile_is_no_failure(lake, files, replayed_before):
    if replayed_before:
        run(lake)
    before = digest(lake)

    def land_and_compact():
        other = Lake.open(lake.root, clock=CLOCK)
        add(other, files / "second.parquet")
        compact(other, engine_for(other, "numpy"))

    meanwhile = Meanwhile("recompute", land_and_compact)
    done = run(lake, report=meanwhile)
    assert meanwhile.done
    assert not lake.snapshot().segments
    assert done.digest == digest(lake) != before
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


def test_compactions_without_end_are_said(lake, files, tmp_path, monkeypatch):
    second = pq.read_table(files / "second.parquet")
    landed = itertools.count()

    def land_and_compact(what, _done, _total):
        if what == "recompute":  # at least once in each attempt: another file is landed and absorbed
            number = next(landed)
            part = tmp_path / f"{number}.parquet"
            pq.write_table(second.slice(number, 1), part)
            other = Lake.open(lake.root, clock=CLOCK)
            add(other, part)
            compact(other, engine_for(other, "numpy"))

    monkeypatch.setattr("pipeline.replay.ATTEMPTS", 2)
    with pytest.raises(ChainMoved, match="somebody else compacted"):
        run(lake, report=land_and_compact)
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds


def test_scores_are_of_what_was_compared(lake, files):
    before = lake.snapshot().vector
    meanwhile = Meanwhile(
        "recompute", lambda: add(Lake.open(lake.root, clock=CLOCK), files / "second.parquet")
    )
    done = replay(lake, engine_for(lake, "numpy"), clock=CLOCK, report=meanwhile)
    assert meanwhile.done
    (scores,) = lake.snapshot().table_files("account_scores")
    assert sum(pq.read_table(scores)["records"].to_pylist()) == 1600
    assert done.digest != digest(lake)
    assert set(before) < set(lake.snapshot().vector)


def test_a_lander_that_never_pauses_and_a_replay_that_runs_beside_it(tmp_path, files):
    """One partition grows record by record, with roll-ups, while replays publish beside it."""
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    topic_id = "BBBBBBBBBBBBBBBBBBBBBA"
    values = pa.concat_tables(
        [pq.read_table(files / "first.parquet"), pq.read_table(files / "second.parquet")]
    )
    messages = encode_json(values)
    decoder = RecordDecoder(lake.config.space)
    lake.begin(topic_id, 0, topic="live", start=0, cluster_id="c", clock=CLOCK)
    landed, failures = threading.Semaphore(0), []

    def decode(low, high):
        return decoder.decode_messages(
            messages[low:high],
            topic_id=topic_id,
            topic="live",
            partition=0,
            offsets=np.arange(low, high),
            append_times=None,
        )

    def land():
        try:
            own = Lake.open(lake.root, clock=CLOCK)
            lander = PartitionLander(
                own,
                engine_for(own, "numpy"),
                topic="live",
                topic_id=topic_id,
                partition=0,
                cluster_id="c",
                settings=LandingSettings(segment_records=20, roll_up_records=90),
                clock=CLOCK,
            )
            while (low := lander.next_offset) < len(messages):
                high = min(len(messages), low + 20)
                lander.accept(decode(low, high), low, high)
                lander.land()
                if lander.roll_up_due():
                    with suppress(ChainMoved):  # as the worker: the chain of records is not affected
                        lander.roll_up()
                landed.release()
            lander.close()
        except BaseException as error:
            failures.append(error)

    def wait_for_segments(count):
        for _ in range(count):
            assert landed.acquire(timeout=60), failures

    thread = threading.Thread(target=land)
    thread.start()
    wait_for_segments(20)
    for _ in range(3):
        # At least five segments land after the replay began to compare and before it compacts.
        meanwhile = Meanwhile("recompute", lambda: wait_for_segments(5))
        assert run(lake, report=meanwhile).published
        assert meanwhile.done
    thread.join()
    assert not failures
    straight = engine_for(lake, "numpy").profiles(decode(0, len(messages)).records)
    assert digest(lake) == straight.digest()
    assert run(lake).digest == straight.digest() == digest(lake)
    assert verify(lake, engine_for(lake, "numpy"), sample=None).holds
