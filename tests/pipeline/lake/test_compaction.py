from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lake_support import TOPIC_ID, decoded, engine, make_lake, make_lander, make_records, make_rejected, part

from pipeline.clock import ManualClock, SystemClock
from pipeline.errors import ChainMoved, LakeError
from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.lake.coverage import check_coverage
from pipeline.lake.ordering import contents_digest
from pipeline.lake.reader import read_profiles, read_records
from pipeline.lake.segments import ordered_segment_table, put_segment
from pipeline.lake.sweep import sweep
from pipeline.lake.tombstones import forget_rows

RECORDS = make_records(400)
WANTED = engine().profiles(RECORDS)
KEY = f"{TOPIC_ID}/0"


@pytest.fixture
def lake(quick_path):
    lake = make_lake(quick_path / "lake")
    lander = make_lander(lake)
    for low, high in ((0, 150), (150, 300), (300, 400)):
        lander.accept(part(RECORDS, low, high), low, high)
        lander.land()
    lander.roll_up()
    return lake


def run_bytes(compacted, lake):
    return {(f.date, f.kind): lake.store.path(f.path).read_bytes() for f in compacted.files}


def test_a_run_has_one_sorted_file_per_date_and_kind(lake):
    compacted = compact(lake, engine())
    assert compacted.dates == ("2026-01-01", "2026-01-02")
    assert {(f.date, f.kind) for f in compacted.files} == {
        (date, kind) for date in compacted.dates for kind in ("records", "windows", "profiles")
    }
    rows = 0
    for file in compacted.files:
        table = pq.read_table(lake.store.path(file.path), partitioning=None).to_pylist()
        assert len(table) == file.rows
        times = "event_time" if file.kind == "records" else "window_start"
        assert {row[times].date().isoformat() for row in table} == {file.date}
        keys = [(row["account_id"].encode(), row[times]) for row in table]
        assert keys == sorted(keys)
        if file.kind != "records":
            assert len(set(keys)) == len(keys)
        rows += file.rows if file.kind == "records" else 0
    assert rows == 400
    snapshot = lake.snapshot()
    assert snapshot.segments == snapshot.rollups == ()
    assert snapshot.vector == {KEY: 400}
    assert read_profiles(snapshot, engine()).equals(WANTED)


def test_a_run_is_named_by_what_it_was_made_from_and_has_equal_bytes(lake, quick_path):
    twin = make_lake(quick_path / "twin")
    lander = make_lander(twin)
    for low, high in ((0, 150), (150, 300), (300, 400)):
        lander.accept(part(RECORDS, low, high), low, high)
        lander.land()
    first, second = compact(lake, engine()), compact(twin, engine())
    assert first.run_id == second.run_id
    assert run_bytes(first, lake) == run_bytes(second, twin)


def test_a_vector_absorbs_whole_segments_below_it(lake):
    assert compact(lake, engine(), vector={}) is None
    assert compact(lake, engine(), vector={KEY: 149}) is None
    assert compact(lake, engine(), vector={KEY: 301}).segments == 2
    assert lake.snapshot().tails[KEY].start == 300
    # The roll-up lay across the cut: its part beyond is in segments only until the next roll-up.
    assert lake.rollup_head(TOPIC_ID, 0) == 300
    make_lander(lake).roll_up()
    assert lake.rollup_head(TOPIC_ID, 0) == 400
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)


def test_scopes(lake):
    compact(lake, engine(), vector={KEY: 150})
    compact(lake, engine(), vector={KEY: 300})
    assert len(lake.manifest().runs) == 2
    merged = compact(lake, engine(), scope="touched")
    assert len(lake.manifest().runs) == 1
    assert {f.kind for f in merged.files} == {"records", "windows", "profiles"}
    assert compact(lake, engine(), scope="touched") is None
    assert compact(lake, engine(), scope="all") is None
    again = compact(lake, engine(), scope="all", force=True)
    assert run_bytes(again, lake) == run_bytes(merged, lake)
    assert again.run_id != merged.run_id
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)
    assert check_coverage(lake.snapshot()).findings == ()


def test_a_compaction_that_was_cut_short_goes_on_with_the_missing_dates(lake, monkeypatch):
    from pipeline.lake import compaction

    monkeypatch.setattr(compaction, "_DATES_AT_ONCE", 1)
    write, written = compaction._write_dates, []

    def cut_short(lake_, engine_, plan, dates):
        if written:
            raise KeyboardInterrupt
        written.append(dates)
        return write(lake_, engine_, plan, dates)

    monkeypatch.setattr(compaction, "_write_dates", cut_short)
    with pytest.raises(KeyboardInterrupt):
        compact(lake, engine())
    assert lake.manifest().number == 0
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)
    monkeypatch.setattr(compaction, "_write_dates", write)
    compacted = compact(lake, engine())
    assert compacted.resumed == ("2026-01-01",)
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)
    assert check_coverage(lake.snapshot()).findings == ()


def test_two_compactors_of_the_same_segments_absorb_them_once(lake, monkeypatch):
    from pipeline.lake import compaction

    other, publish = Lake.open(lake.root, clock=lake.clock), compaction._publish

    def overtaken(*arguments):
        monkeypatch.setattr(compaction, "_publish", publish)
        compact(other, engine())
        return publish(*arguments)

    monkeypatch.setattr(compaction, "_publish", overtaken)
    compacted = compact(lake, engine())  # the same run: published once
    assert lake.manifest().number == 1
    assert list(lake.manifest().runs) == [compacted.run_id]
    assert read_records(lake.snapshot()).num_rows == 400


def test_two_compactors_of_overlapping_ranges_the_second_is_refused(lake, monkeypatch):
    from pipeline.lake import compaction

    other, publish = Lake.open(lake.root, clock=lake.clock), compaction._publish

    def overtaken(*arguments):
        monkeypatch.setattr(compaction, "_publish", publish)
        compact(other, engine(), vector={KEY: 150})
        return publish(*arguments)

    monkeypatch.setattr(compaction, "_publish", overtaken)
    with pytest.raises(ChainMoved, match="compact again"):
        compact(lake, engine())
    assert read_records(lake.snapshot()).num_rows == 400
    compact(lake, engine())
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)


def test_rejected_records_and_tombstones_move_along(quick_path):
    lake = make_lake(quick_path / "lake")
    lander = make_lander(lake)
    rejected = make_rejected([400, 401, 402])
    lander.accept(decoded(RECORDS, rejected), 0, 403, last_append_time=datetime(2026, 1, 9))
    segment = lander.land()
    # A segment as the rewriting command will leave it: an account's rows are tombstones.
    path = lake.store.path(segment.key)
    table = pq.read_table(path, partitioning=None)
    gone = table.column("account_id").to_pylist()[0]
    mask = [value == gone for value in table.column("account_id").to_pylist()]
    import pyarrow as pa

    forgotten = forget_rows(
        table, pa.array(mask), reason="asked to", by="operator", when=datetime(2026, 2, 1, tzinfo=UTC)
    )
    path.unlink()
    count = sum(mask)
    contents = contents_digest(forgotten)
    put_segment(
        lake.store,
        forgotten,
        replace(segment, records=400 - count, forgotten=count, contents_digest=contents),
    )
    lake = Lake.open(lake.root, clock=lake.clock)
    kept = RECORDS.filter(pa.array([name != gone for name in RECORDS.column("account_id").to_pylist()]))
    compacted = compact(lake, engine())
    assert [f.rows for f in compacted.files if f.kind == "dead_letters"] == [3 + count]
    assert {f.date for f in compacted.files if f.kind == "dead_letters"} == {"2026-01-09"}
    assert read_profiles(lake.snapshot(), engine()).equals(engine().profiles(kept))
    coverage = check_coverage(lake.snapshot(), contents=False)
    assert coverage.findings == ()
    (chain,) = coverage.chains
    assert (chain.records, chain.rejected, chain.forgotten) == (400 - count, 3, count)
    compact(lake, engine(), scope="all", force=True)
    assert check_coverage(lake.snapshot()).findings == ()


def test_a_segment_that_is_not_what_it_says_is_not_absorbed(lake):
    segment = lake.snapshot().segments[0]
    path = lake.store.path(segment.key)
    table = ordered_segment_table(pq.read_table(path, partitioning=None).slice(0, 149))
    path.unlink()
    put_segment(lake.store, table, replace(segment, records=149))
    with pytest.raises(LakeError, match="positions are not those it was landed with"):
        compact(Lake.open(lake.root), engine())


def test_a_segment_with_other_contents_is_not_absorbed(lake):
    """Its positions, counts and metadata are as they were; after it was absorbed, nothing could tell any more."""
    segment = lake.snapshot().segments[1]
    path = lake.store.path(segment.key)
    table = pq.read_table(path, partitioning=None)
    place = table.schema.get_field_index("output_tokens")
    altered = pc.add(table.column(place), 1)
    path.unlink()
    put_segment(lake.store, table.set_column(place, table.schema.field(place), altered), segment)
    with pytest.raises(LakeError, match="contents are not those it was landed with"):
        compact(Lake.open(lake.root), engine())
    assert lake.manifest().number == 0


# Sweeping


def test_a_sweep_respects_the_grace_period(lake):
    snapshot = lake.snapshot()
    compact(lake, engine())
    assert sum(sweep(lake, 100).removed.values()) == 0
    assert read_profiles(snapshot, engine()).equals(WANTED)  # a session that began before
    lake.clock.advance(101)
    swept = sweep(lake, 100)
    assert (swept.removed["segment"], swept.removed["rollup"], swept.removed["heavy"]) == (3, 1, 1)
    assert swept.bytes > 0
    assert sum(sweep(lake, 100).removed.values()) == 0
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)


def aged(lake, seconds=10_000):
    """Everything on disk looks as if it was written a while before now."""
    now = SystemClock().now().timestamp()
    for path in lake.root.rglob("*"):
        os.utime(path, (now - seconds, now - seconds))


def test_litter_and_unreferenced_files_go_live_ones_stay(lake):
    first = compact(lake, engine())
    compact(lake, engine(), scope="all", force=True)
    dead = lake.put_table("alerts", pq.read_table(lake.store.path(first.files[0].path), partitioning=None))
    live = lake.put_table("alerts", pq.read_table(lake.store.path(first.files[1].path), partitioning=None))
    lake.publish(lambda m: m.with_tables("alerts", [live]))
    lake.store.temporary().write_bytes(b"torn")
    lake.store.put_bytes(b"half a run", "runs/abandoned/date=2026-01-01/records.parquet")
    lake.store.put_bytes(b"lost the race", f"rollups/{TOPIC_ID}/00000/{400:020d}-x.profiles.parquet")
    later = ManualClock(SystemClock().now())
    aged(lake)
    young = "runs/being-written/date=2026-01-01/records.parquet"
    lake.store.put_bytes(b"young", young)
    swept = sweep(lake, 1000, later)
    assert swept.removed == {
        "temporary": 1, "segment": 3, "rollup": 1, "heavy": 2, "table": 1, "run": len(first.files) + 2 + 1
    }  # fmt: skip
    assert not lake.store.exists(dead.path)
    assert lake.store.exists(live.path)
    assert lake.store.exists(young)
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)
    assert check_coverage(lake.snapshot()).findings == ()
    for _ in range(3):  # files, then their folders, then the runs'
        aged(lake)
        sweep(lake, 1000, later)
    assert len(lake.store.names("runs")) == 1


def test_a_roll_ups_heavy_half_stays_while_its_commit_names_it(lake):
    aged(lake)
    assert sum(sweep(lake, 1000, ManualClock(SystemClock().now())).removed.values()) == 0
    assert read_profiles(lake.snapshot(), engine()).equals(WANTED)
