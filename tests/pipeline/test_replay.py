"""The nightly job: equal before and after, idempotent, resumable after a kill, and loud about a difference."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import SystemClock
from pipeline.errors import VerificationFailed
from pipeline.ingest import ingest_file
from pipeline.lake.reader import read_profiles
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
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


def falsify(path):
    table = pq.read_table(path, partitioning=None)
    index = table.schema.get_field_index("input_tokens")
    changed = table.set_column(
        index, "input_tokens", pa.array([v.as_py() + 1 for v in table.column("input_tokens")], pa.int64())
    )
    pq.write_table(changed.replace_schema_metadata(pq.read_schema(path).metadata), path)


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
