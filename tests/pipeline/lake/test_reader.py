"""The answer of the reader does not depend on what was landed how."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_support import (
    START,
    TOPIC_ID,
    decoded,
    engine,
    make_lake,
    make_lander,
    make_records,
    make_rejected,
    parameters,
    part,
)

from pipeline.engine import Engine
from pipeline.errors import LakeError, SpaceMismatch
from pipeline.lake.compaction import compact
from pipeline.lake.reader import iter_accounts, iter_profiles, read_profiles, read_records
from pipeline.lake.sweep import sweep
from pipeline.parameters import Parameters
from pipeline.profiles import Digester, Profiles
from pipeline.profiles.accounts import NEVER, AccountWindows

COUNT = 500
PARTS = (make_records(COUNT, seed=1), make_records(COUNT, seed=2, partition=1))
ALL = pa.concat_tables(PARTS)
WANTED = engine().profiles(ALL)
NAMES = sorted(set(WANTED.account_id))
assert 10 < int((WANTED.records >= 8).sum()) < len(WANTED) // 2, "both thick and thin rows"

STEP = st.one_of(
    st.tuples(st.just("accept"), st.integers(0, 1), st.integers(1, 200)),
    st.tuples(st.just("land"), st.integers(0, 1)),
    st.tuples(st.just("roll_up"), st.integers(0, 1)),
    st.tuples(st.just("compact"), st.sampled_from(["tail", "touched", "all"]), st.integers(0, COUNT)),
    st.tuples(st.just("sweep")),
)


def apply(lake, steps):
    """Land everything, by a schedule and then to the end."""
    landers = [make_lander(lake, partition=partition) for partition in (0, 1)]

    def accept(which, count):
        lander = landers[which]
        low, high = lander.next_offset, min(COUNT, lander.next_offset + count)
        lander.accept(part(PARTS[which], low, high), low, high)

    for step in steps:
        match step:
            case ("accept", which, count):
                accept(which, count)
            case ("land", which):
                landers[which].land()
            case ("roll_up", which):
                landers[which].roll_up()
            case ("compact", scope, limit):
                compact(lake, engine(), scope=scope, vector={f"{TOPIC_ID}/0": limit, f"{TOPIC_ID}/1": COUNT})
            case ("sweep",):
                sweep(lake, 0)
    for which, lander in enumerate(landers):
        accept(which, COUNT)
        lander.land()
    return lake


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=14), block=st.sampled_from([1, 37, 4096]), data=st.data())
def test_equal_profiles_however_it_was_landed(steps, block, data):
    with tempfile.TemporaryDirectory() as folder:
        lake = apply(make_lake(Path(folder)), steps)
        snapshot = lake.snapshot()
        digester = Digester()
        for profiles in iter_profiles(snapshot, engine(), block_windows=block):
            digester.update(profiles)
        assert digester.hexdigest() == WANTED.digest()
        assert read_profiles(snapshot, engine()).equals(WANTED)
        assert_whole(list(iter_accounts(snapshot, engine(), block_windows=block)), WANTED)
        some = data.draw(st.lists(st.sampled_from([*NAMES, "nobody"]), max_size=4))
        assert read_profiles(snapshot, engine(), some).equals(WANTED.of_accounts(some))
        hour = data.draw(st.integers(0, 29))
        start, stop = START + timedelta(hours=hour), START + timedelta(hours=hour + 3, minutes=1)
        wanted = engine().profiles(between(ALL, start, start + timedelta(hours=4)))
        assert read_profiles(snapshot, engine(), start=start, stop=stop).equals(wanted)
        assert read_profiles(snapshot, engine(), NAMES, start, stop).equals(wanted)
        assert_whole(list(iter_accounts(snapshot, engine(), start, stop, block_windows=block)), wanted)
        records = read_records(snapshot)
        order = [(name, "ascending") for name in ("partition", "offset")]
        assert records.select(ALL.column_names).sort_by(order).cast(ALL.schema).equals(ALL.sort_by(order))


def assert_whole(blocks, windows):
    """Blocks of whole accounts say what profiles by account and window do, added up one by one."""
    models = windows.askable["model_hashed_count"]
    said = {}
    for block in blocks:
        assert len(set(block.row.tolist())) == len(block)
        np.testing.assert_array_equal(
            block.accounts.window_start, block.start[np.unique(block.row, return_index=True)[1]]
        )
        for row, name in enumerate(block.accounts.account_id):
            mine = block.row == row
            assert block.last[row] == block.start[mine][-1]
            said[name] = (
                block.start[mine].tolist(),
                block.records[mine].tolist(),
                block.model_first[row].tolist(),
            )
    wanted = {}
    for row, name in enumerate(windows.account_id):
        start, records, first = wanted.setdefault(name, ([], [], [NEVER] * models.shape[1]))
        start.append(int(windows.window_start[row]))
        records.append(int(windows.records[row]))
        for model in np.flatnonzero(models[row]):
            first[model] = min(first[model], start[-1])
    assert list(said) == list(wanted)
    assert said == wanted
    whole = Profiles.merge(Profiles.empty(parameters()), *(block.accounts for block in blocks))
    assert whole.equals(windows.by_account())


def between(records, start, stop):
    times = records.column("event_time").to_pylist()
    low, high = start.replace(tzinfo=None), stop.replace(tzinfo=None)
    return records.filter(pa.array([low <= time < high for time in times]))


@pytest.fixture
def lake(tmp_path):
    lake = make_lake(tmp_path / "lake")
    lander = make_lander(lake)
    for low, high in ((0, 120), (120, 260), (260, 400), (400, 500)):
        lander.accept(part(PARTS[0], low, high), low, high)
        lander.land()
        if high == 260:
            lander.roll_up()
            compact(lake, engine())
        if high == 400:
            lander.roll_up()
    return lake


def test_empty_lake(tmp_path):
    lake = make_lake(tmp_path / "lake")
    snapshot = lake.snapshot()
    assert len(read_profiles(snapshot, engine())) == 0
    assert len(read_profiles(snapshot, engine(), ["a"])) == 0
    assert list(iter_profiles(snapshot, engine())) == []
    assert read_records(snapshot).num_rows == 0
    assert (snapshot.segments, snapshot.rollups, snapshot.vector, snapshot.table_files("alerts")) == (
        (),
        (),
        {},
        [],
    )
    assert snapshot.record_files() == snapshot.window_files() == snapshot.profile_files() == []
    make_lander(lake)  # a chain that began and has nothing
    assert len(read_profiles(lake.snapshot(), engine())) == 0
    assert lake.snapshot().vector == {f"{TOPIC_ID}/0": 0}


@pytest.mark.parametrize("limit", [0, 1, 120, 333, 500, 9999])
def test_an_offset_vector_cuts_through_landed_windows(lake, limit):
    vector = {f"{TOPIC_ID}/0": limit}
    wanted = engine().profiles(PARTS[0].slice(0, limit))
    assert read_profiles(lake.snapshot(), engine(), vector=vector).equals(wanted)
    assert read_profiles(lake.snapshot(), engine(), NAMES, vector=vector).equals(wanted)
    assert read_records(lake.snapshot(), vector=vector).num_rows == min(500, limit)


def test_chains_outside_a_vector_do_not_count(lake):
    assert read_records(lake.snapshot(), vector={}).num_rows == 0


def test_records_by_account_time_and_column(lake):
    start, stop = START + timedelta(hours=2, minutes=13), datetime(2026, 1, 1, 9, 7, 5, 12, tzinfo=UTC)
    found = read_records(lake.snapshot(), NAMES[:2], start, stop, columns=["offset"])
    wanted = [r["offset"] for r in between(PARTS[0], start, stop).to_pylist() if r["account_id"] in NAMES[:2]]
    assert found.column_names == ["offset"]
    assert sorted(found.column("offset").to_pylist()) == sorted(wanted)
    assert wanted


def test_times_in_another_zone_are_converted(lake):
    zone = datetime.fromisoformat("2026-01-01T12:00:00+09:00")
    utc = datetime(2026, 1, 1, 3)
    a, b = (read_records(lake.snapshot(), start=time).num_rows for time in (zone, utc))
    assert a == b < 500


def test_rejected_records_are_no_records(tmp_path):
    lake = make_lake(tmp_path / "lake")
    lander = make_lander(lake)
    lander.accept(decoded(PARTS[0], make_rejected([500, 501])), 0, 502)
    lander.close()
    assert read_records(lake.snapshot()).num_rows == 500
    compact(lake, engine())
    assert read_records(lake.snapshot()).num_rows == 500
    assert read_profiles(lake.snapshot(), engine()).equals(engine().profiles(PARTS[0]))


def test_a_landed_rows_sum_is_used_and_thin_rows_come_from_records(lake, monkeypatch):
    counted = []
    original = Engine.profiles

    def counting(self, records):
        counted.append(records.num_rows)
        return original(self, records)

    monkeypatch.setattr(Engine, "profiles", counting)
    snapshot = lake.snapshot()
    read_profiles(snapshot, engine(), NAMES)
    thin = 0
    for low, high in ((0, 260), (260, 400)):
        landed = original(engine(), PARTS[0].slice(low, high - low))
        thin += int(landed.records[landed.records < 8].sum())
    assert sum(counted) == thin + 100  # the last segment is not rolled up
    assert thin < 400


def test_accounts_read_heavy_columns_of_thin_rows_alone(lake, monkeypatch):
    columns = []
    original = Engine.heavy_parts

    def looking(self, records):
        columns.append(set(records.column_names))
        return original(self, records)

    monkeypatch.setattr(Engine, "heavy_parts", looking)
    assert_whole(list(iter_accounts(lake.snapshot(), engine())), engine().profiles(PARTS[0]))
    assert columns == [
        {"account_id", "event_time", "embedding", "prompt_hash", "template_hash", "client_network"}
    ]


@pytest.mark.parametrize("kind", ["windows", "heavy", "thin"])
def test_windows_without_their_heavy_parts_are_no_accounts(kind):
    whole = engine().profiles(PARTS[0])
    nothing = Profiles.empty(parameters())
    windows, heavy = whole.to_windows_table(), whole.to_profiles_table()
    few = whole.take(whole.records < 8)
    thin = engine().heavy_parts(records_of(few))
    summed = AccountWindows.summed(parameters(), windows, heavy, thin, nothing)
    assert_whole([summed], whole)
    match kind:
        case "windows":
            windows = windows.slice(1)
        case "heavy":
            heavy = pa.concat_tables([heavy.slice(1), heavy.slice(1, 1)])
        case "thin":
            thin = engine().heavy_parts(records_of(few.take(slice(1, None))))
    with pytest.raises(LakeError, match="files of the lake do not belong together"):
        AccountWindows.summed(parameters(), windows, heavy, thin, nothing)


def records_of(windows):
    """The records of some windows of the first part."""
    keys = set(zip(windows.account_id.tolist(), windows.window_start.tolist(), strict=True))
    hour = 3_600_000_000
    times = PARTS[0].column("event_time").cast(pa.int64()).to_pylist()
    mask = [
        (account, time // hour * hour) in keys
        for account, time in zip(PARTS[0].column("account_id").to_pylist(), times, strict=True)
    ]
    return PARTS[0].filter(pa.array(mask))


def test_another_engine_is_refused(lake):
    other = Engine(Parameters.generate(parameters().space, seed="other"))
    with pytest.raises(SpaceMismatch, match="use Engine"):
        read_profiles(lake.snapshot(), other)
    with pytest.raises(LakeError, match="windows of 60 s"):
        list(iter_profiles(lake.snapshot(), Engine(parameters(), window_seconds=60)))


def test_a_swept_file_is_said_and_not_skipped(lake):
    snapshot = lake.snapshot()
    compact(lake, engine())
    sweep(lake, 0)
    for read in (
        lambda: read_records(snapshot),
        lambda: read_profiles(snapshot, engine()),
        lambda: read_profiles(snapshot, engine(), NAMES),
    ):
        with pytest.raises(LakeError, match="take a new snapshot"):
            read()
    assert read_profiles(lake.snapshot(), engine()).equals(engine().profiles(PARTS[0]))


def test_blocks_share_no_account_and_ascend(lake):
    blocks = list(iter_profiles(lake.snapshot(), engine(), block_windows=10))
    names = [sorted(set(block.account_id)) for block in blocks]
    assert len(blocks) > 3
    flat = [name for block in names for name in block]
    assert flat == sorted(set(flat))
    assert Profiles.merge(*blocks).equals(engine().profiles(PARTS[0]))
