from __future__ import annotations

import dataclasses
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.clock import ManualClock
from pipeline.errors import ChainMoved, ForeignTopic, LakeError, LostRecords
from pipeline.lake import Chain, Lake
from pipeline.lake.losses import declare_lost
from pipeline.lake.reader import read_profiles, read_records
from pipeline.lake.store import LocalStore
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.profiles import Profiles

sys.path.insert(0, str(Path(__file__).parent / "lake"))

from lake_support import (
    CLUSTER,
    NEVER,
    START,
    TOPIC,
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


@pytest.fixture
def lake(tmp_path):
    return make_lake(tmp_path / "lake")


RECORDS = make_records(600)


def offsets_landed(lake: Lake) -> list[int]:
    return sorted(read_records(lake.snapshot(), columns=["offset"]).column("offset").to_pylist())


def test_landed_rows_are_sorted_by_account_bytes_time_request_and_position(lake):
    lander = make_lander(lake)
    lander.accept(decoded(RECORDS, make_rejected([600, 601])), 0, 602)
    segment = lander.land()
    rows = pq.read_table(lake.store.path(segment.key)).to_pylist()
    assert [row["kind"] for row in rows] == ["record"] * 600 + ["rejected"] * 2
    keys = [(r["account_id"].encode(), r["event_time"], r["request_id"], r["offset"]) for r in rows[:600]]
    assert keys == sorted(keys)
    assert [row["offset"] for row in rows[600:]] == [600, 601]
    assert rows[600]["raw"] == make_rejected([600]).column("raw")[0].as_py()


def test_landed_bytes_of_rows_do_not_depend_on_micro_batches(tmp_path):
    digests = set()
    for number, step in enumerate((600, 7, 123)):
        lake = make_lake(tmp_path / str(number))
        lander = make_lander(lake)
        for low in range(0, 600, step):
            lander.accept(part(RECORDS, low, min(600, low + step)), low, min(600, low + step))
        digests.add(lander.land().contents_digest)
    assert len(digests) == 1


def test_segment_says_what_it_is(lake):
    lander = make_lander(lake, settings=dataclasses.replace(NEVER, max_future_seconds=60))
    lander.accept(decoded(RECORDS, make_rejected([600])), 0, 610, last_append_time=datetime(2026, 1, 5))
    segment = lander.land()
    times = RECORDS.column("event_time").to_pylist()
    assert segment.chain == Chain(TOPIC_ID, 0)
    assert (segment.topic, segment.cluster_id) == (TOPIC, CLUSTER)
    assert (segment.first_offset, segment.last_offset, segment.next_offset) == (0, 609, 610)
    assert (segment.records, segment.rejected, segment.forgotten) == (600, 1, 0)
    assert segment.min_event_time == min(times).isoformat(timespec="microseconds")
    assert segment.max_event_time == max(times).isoformat(timespec="microseconds")
    assert segment.last_append_time == "2026-01-05T00:00:00.000000"
    assert segment.max_future_seconds == 60
    assert segment.parameters == parameters().fingerprint
    assert segment.lake_fingerprint == lake.fingerprint
    assert lake.snapshot().segments == (segment,)


def test_next_segment_starts_after_the_last_offset_of_a_range_with_gaps(lake):
    # Transaction markers and compaction leave offsets that hold no record.
    sparse = make_records(50, offsets=np.arange(50) * 3)
    lander = make_lander(lake)
    lander.accept(decoded(sparse), 0, 155)
    assert lander.land().last_offset == 154
    lander.accept(decoded(make_records(5, first=155)), 155, 160)
    assert lander.land().first_offset == 155
    assert lake.head(TOPIC_ID, 0) == 160
    assert offsets_landed(lake) == [*range(0, 150, 3), *range(155, 160)]


def test_a_range_of_markers_alone_moves_the_head(lake):
    lander = make_lander(lake)
    assert lander.land() is None
    lander.accept(decoded(RECORDS.slice(0, 0)), 0, 4)
    assert lander.land().rows == 0
    assert lander.roll_up().windows == 0
    assert lake.head(TOPIC_ID, 0) == lake.rollup_head(TOPIC_ID, 0) == 4
    assert len(read_profiles(lake.snapshot(), engine())) == 0


def test_rejected_only_segment(lake):
    lander = make_lander(lake)
    lander.accept(decoded(RECORDS.slice(0, 0), make_rejected([0, 1, 2])), 0, 3)
    segment = lander.land()
    assert (segment.records, segment.rejected) == (0, 3)
    assert segment.min_event_time is None
    lander.roll_up()
    assert read_records(lake.snapshot()).num_rows == 0


def test_several_rows_of_one_message_have_positions_of_their_own(lake):
    # Two Arrow messages of 3 and 2 records.
    batch = make_records(5, offsets=np.array([0, 0, 0, 1, 1]), rows=np.array([0, 1, 2, 0, 1]))
    lander = make_lander(lake)
    lander.accept(decoded(batch), 0, 2)
    assert lander.land().records == 5
    assert lake.head(TOPIC_ID, 0) == 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (LandingSettings(segment_records=100), "records"),
        (LandingSettings(segment_bytes=1000), "bytes"),
        (LandingSettings(segment_seconds=60), "age"),
    ],
)
def test_due_says_why(lake, settings, reason):
    clock = ManualClock(START)
    lander = make_lander(lake, settings=settings, clock=clock)
    clock.advance(1000)
    assert lander.due() is None
    lander.accept(part(RECORDS, 0, 10), 0, 10)
    if reason == "age":
        clock.advance(59)
        assert lander.due() is None
        clock.advance(1)
    else:
        lander.accept(part(RECORDS, 10, 120), 10, 120)
    assert lander.due() == reason
    lander.land()
    assert lander.due() is None


def test_roll_up_due_by_records_by_age_and_never_without_segments(lake):
    clock = ManualClock(START)
    lander = make_lander(
        lake, settings=LandingSettings(roll_up_records=200, roll_up_seconds=300), clock=clock
    )
    clock.advance(1000)
    assert lander.roll_up_due() is None
    lander.accept(part(RECORDS, 0, 150), 0, 150)
    lander.land()
    assert lander.roll_up_due() is None
    clock.advance(300)
    assert lander.roll_up_due() == "age"
    lander.accept(part(RECORDS, 150, 250), 150, 250)
    lander.land()
    assert lander.roll_up_due() == "records"
    lander.roll_up()
    assert lander.roll_up_due() is None


def test_a_new_owner_rolls_up_what_the_last_one_left(lake):
    clock = ManualClock(START)
    first = make_lander(lake, clock=clock)
    first.accept(part(RECORDS, 0, 300), 0, 300)
    first.land()
    settings = LandingSettings(roll_up_records=200, segment_records=50)
    second = make_lander(lake, clock=clock, settings=settings)
    assert second.next_offset == 300
    assert second.roll_up_due() == "records"
    second.accept(part(RECORDS, 300, 600), 300, 600)
    second.close()
    assert lake.rollup_head(TOPIC_ID, 0) == 600
    assert read_profiles(lake.snapshot(), engine()).digest() == engine().profiles(RECORDS).digest()


def test_a_long_backlog_becomes_roll_ups_of_bounded_size(lake):
    lander = make_lander(lake, settings=dataclasses.replace(NEVER, roll_up_records=120))
    for low in range(0, 600, 50):
        lander.accept(part(RECORDS, low, low + 50), low, low + 50)
        lander.land()
    lander.roll_up()
    sizes = [rollup.records for rollup in lake.snapshot().rollups]
    assert sum(sizes) == 600
    assert max(sizes) <= 120


# Refusals


class BrokenStore(LocalStore):
    """Refuses to link a number of times; before or after the link is made."""

    def __init__(self, root, failures=0, *, after=False):
        super().__init__(root)
        self.failures = failures
        self.after = after

    def _link(self, source, target):
        if target.suffix == ".parquet" and self.failures:
            self.failures -= 1
            if self.after:
                super()._link(source, target)
            msg = "disk said no"
            raise OSError(msg)
        super()._link(source, target)


@pytest.mark.parametrize("after", [False, True], ids=["before the link", "after the link"])
def test_a_refused_flush_neither_loses_nor_doubles_the_new_records(tmp_path, after):
    store = BrokenStore(tmp_path / "lake", after=after)
    lake = make_lake(tmp_path / "lake", store=store)
    lander = make_lander(lake, settings=LandingSettings(segment_records=100))
    lander.accept(part(RECORDS, 0, 120), 0, 120)
    store.failures = 1
    with pytest.raises(OSError, match="disk said no"):
        lander.accept(part(RECORDS, 120, 200), 120, 200)
    assert lander.next_offset == 120
    lander.accept(part(RECORDS, 120, 200), 120, 200)
    lander.close()
    assert offsets_landed(lake) == list(range(200))


def test_ones_own_earlier_shorter_put_is_recognised(tmp_path):
    store = BrokenStore(tmp_path / "lake", after=True)
    lake = make_lake(tmp_path / "lake", store=store)
    lander = make_lander(lake)
    lander.accept(part(RECORDS, 0, 70), 0, 70)
    lander.accept(part(RECORDS, 70, 100), 70, 100)
    store.failures = 1
    with pytest.raises(OSError, match="disk said no"):
        lander.land()
    lander.accept(part(RECORDS, 100, 150), 100, 150)
    assert lander.land().last_offset == 99
    assert (lander.head, lander.next_offset, lander.held_records) == (100, 150, 50)
    lander.land()
    assert offsets_landed(lake) == list(range(150))


def test_a_batch_outside_its_range_or_of_another_chain_is_refused(lake):
    lander = make_lander(lake)
    with pytest.raises(LakeError, match="holds offsets 0 to 599"):
        lander.accept(decoded(RECORDS), 0, 500)
    with pytest.raises(LakeError, match="partition 1"):
        lander.accept(decoded(make_records(3, partition=1)), 0, 3)
    assert lander.next_offset == 0


# Joining


def test_a_gap_between_batches_is_lost_records_not_silence(lake):
    lander = make_lander(lake)
    lander.accept(part(RECORDS, 0, 10), 0, 10)
    with pytest.raises(LostRecords, match="offsets 10 to 19 were never handed over"):
        lander.accept(part(RECORDS, 20, 30), 20, 30)


def test_what_was_taken_before_is_trimmed_from_a_reread(lake):
    lander = make_lander(lake)
    lander.accept(part(RECORDS, 0, 100), 0, 100)
    lander.land()
    lander.accept(part(RECORDS, 100, 150), 100, 150)
    assert lander.accept(part(RECORDS, 0, 80), 0, 80) == 0
    assert lander.accept(part(RECORDS, 50, 200), 50, 200) == 50
    lander.land()
    assert offsets_landed(lake) == list(range(200))


def test_held_table_is_what_was_accepted_and_not_landed(lake):
    lander = make_lander(lake)
    lander.accept(part(RECORDS, 0, 100), 0, 100)
    assert lander.held_table().equals(RECORDS.slice(0, 100))
    assert lander.held_records == 100
    lander.land()
    assert lander.held_table().num_rows == 0


# Owners


def test_two_owners_from_one_head_exactly_one_wins(lake):
    a, b = make_lander(lake), make_lander(Lake.open(lake.root))
    a.accept(part(RECORDS, 0, 100), 0, 100)
    b.accept(part(RECORDS, 0, 60), 0, 60)
    b.land()
    with pytest.raises(ChainMoved, match="the head is now 60"):
        a.land()
    assert (a.next_offset, a.held_records) == (60, 0)
    a.accept(part(RECORDS, 60, 100), 60, 100)
    a.land()
    assert offsets_landed(lake) == list(range(100))


def test_a_zombie_whose_name_was_freed_by_compaction_discards_its_segment(lake):
    from pipeline.lake.compaction import compact
    from pipeline.lake.sweep import sweep

    zombie, owner = make_lander(Lake.open(lake.root)), make_lander(lake)
    zombie.accept(part(RECORDS, 0, 100), 0, 100)
    owner.accept(part(RECORDS, 0, 200), 0, 200)
    owner.close()
    compact(lake, engine())
    assert sweep(lake, 0).removed["segment"] == 1
    assert not lake.store.exists(Chain(TOPIC_ID, 0).segment(0))
    with pytest.raises(ChainMoved, match="compacted by another writer"):
        zombie.land()
    assert not lake.store.exists(Chain(TOPIC_ID, 0).segment(0))
    assert zombie.next_offset == 200
    assert offsets_landed(lake) == list(range(200))


def test_a_lost_roll_up_leaves_the_chain_of_records_alone(lake, monkeypatch):
    a, b = make_lander(lake), make_lander(Lake.open(lake.root))
    a.accept(part(RECORDS, 0, 100), 0, 100)
    a.land()
    a.accept(part(RECORDS, 100, 150), 100, 150)
    profile = a._profile

    def overtaken(segments, writer):
        profile(segments, writer)
        b.roll_up()

    monkeypatch.setattr(a, "_profile", overtaken)
    with pytest.raises(ChainMoved, match="rolled up from offset 0"):
        a.roll_up()
    assert a.held_records == 50
    a.land()
    monkeypatch.undo()
    a.roll_up()
    assert [(r.first_offset, r.last_offset) for r in lake.snapshot().rollups] == [(0, 99), (100, 149)]
    heavies = [name for name in lake.store.names(f"rollups/{TOPIC_ID}/00000") if "profiles" in name]
    assert len(heavies) == 2


# Losses that look like gaps


def fresh(lake: Lake, topic_id: str = TOPIC_ID, **settings: object) -> PartitionLander:
    return make_lander(lake, topic_id=topic_id, begin=None, settings=dataclasses.replace(NEVER, **settings))


def test_first_contact_declares_the_start_once(lake):
    lander = fresh(lake)
    assert lander.head is None
    with pytest.raises(LakeError, match="no beginning"):
        _ = lander.next_offset
    lander.check(17, TOPIC_ID)
    assert lander.next_offset == 17
    assert lake.origin(TOPIC_ID, 0).start == 17
    assert make_lander(lake, begin=99).next_offset == 17


def test_log_start_past_the_head_is_loud_and_says_which(lake):
    lander = fresh(lake)
    lander.check(0, TOPIC_ID)
    lander.accept(part(RECORDS, 0, 100), 0, 100)
    lander.land()
    lander.check(100, TOPIC_ID)
    lander.accept(part(RECORDS, 100, 120), 100, 120)
    lander.check(120, TOPIC_ID)  # held, so not lost
    with pytest.raises(LostRecords, match="offsets 120 to 129 are gone"):
        lander.check(130, TOPIC_ID)


def test_a_declared_loss_lets_the_chain_go_on_and_stays_visible(lake):
    lander = fresh(lake)
    lander.check(0, TOPIC_ID)
    lander.accept(part(RECORDS, 0, 100), 0, 100)
    lander.land()
    declare_lost(lake, TOPIC_ID, 0, 130, by="operator", why="retention was too short")
    lander.reload()
    lander.check(130, TOPIC_ID)
    lander.accept(part(RECORDS, 130, 200), 130, 200)
    lander.close()
    assert lake.snapshot().segments[1].lost == ((100, 129, "operator: retention was too short"),)
    with pytest.raises(LakeError, match="nothing before offset 50 is missing"):
        declare_lost(lake, TOPIC_ID, 0, 50, by="operator", why="typing error")


def test_a_recreated_topic_is_refused_unless_accepted(lake):
    fresh(lake).check(0, TOPIC_ID)
    with pytest.raises(ForeignTopic, match="deleted and recreated"):
        fresh(lake).check(0, "BBBBBBBBBBBBBBBBBBBBBB")
    recreated = fresh(lake, "BBBBBBBBBBBBBBBBBBBBBB")
    with pytest.raises(ForeignTopic, match="accept_recreated_topic"):
        recreated.check(0, "BBBBBBBBBBBBBBBBBBBBBB")
    assert lake.head("BBBBBBBBBBBBBBBBBBBBBB", 0) is None
    fresh(lake, "BBBBBBBBBBBBBBBBBBBBBB", accept_recreated_topic=True).check(5, "BBBBBBBBBBBBBBBBBBBBBB")
    assert lake.origin("BBBBBBBBBBBBBBBBBBBBBB", 0).replaces == (TOPIC_ID,)
    # Accepted once is accepted for its other partitions.
    second = PartitionLander(
        lake, engine(), topic=TOPIC, topic_id="BBBBBBBBBBBBBBBBBBBBBB", partition=1, cluster_id=CLUSTER, settings=NEVER,
        clock=lake.clock,
    )  # fmt: skip
    second.check(0, "BBBBBBBBBBBBBBBBBBBBBB")
    assert second.next_offset == 0


def test_files_of_one_name_do_not_count_as_recreated_topics(lake):
    for content in ("0" * 32, "1" * 32):
        lander = make_lander(lake, topic="log.jsonl", topic_id=f"file-{content}", begin=None)
        lander.check(0, f"file-{content}")
    assert len(lake.topic_ids("log.jsonl")) == 2


def test_close_without_landing_drops_what_is_held(lake):
    lander = make_lander(lake)
    lander.accept(part(RECORDS, 0, 100), 0, 100)
    lander.close(land=False)
    assert lander.next_offset == 0
    assert lake.head(TOPIC_ID, 0) == 0


def test_late_and_out_of_order_records_add_up(lake):
    lander = make_lander(lake)
    records = RECORDS.sort_by([("event_time", "descending")])
    index = records.schema.get_field_index("offset")
    records = records.set_column(index, records.schema.field(index), pa.array(range(600), pa.int64()))
    for low in range(0, 600, 90):
        high = min(600, low + 90)
        lander.accept(part(records, low, high), low, high)
        lander.land()
        lander.roll_up()
    profiles = read_profiles(lake.snapshot(), engine())
    assert profiles.digest() == engine().profiles(RECORDS).digest()
    late = read_profiles(lake.snapshot(), engine(), start=START, stop=START + timedelta(hours=3))
    window = [
        r for r in RECORDS.to_pylist() if r["event_time"] < (START + timedelta(hours=3)).replace(tzinfo=None)
    ]
    assert int(late.records.sum()) == len(window)


def test_a_wide_block_widens_what_the_file_already_holds(lake, tmp_path):
    from pipeline.lake.profile_files import ProfileFilesWriter

    whole = engine().profiles(RECORDS)
    low, high = whole.take(slice(0, 20)), whole.take(slice(20, len(whole)))
    big = dataclasses.replace(high, kernel_mean=high.kernel_mean * 2**22)
    writer = ProfileFilesWriter(lake.store, parameters())
    writer.write(low)
    writer.write(big)
    writer.close_heavy({})
    writer.close_light({})
    heavy, light = pq.read_table(writer.heavy), pq.read_table(writer.light)
    assert heavy.schema.metadata[b"distillwatch.kernel_mean"] == b"int64"
    assert heavy.schema.metadata[b"distillwatch.embedding_sum"] == b"int32"
    assert {len(blob) for blob in heavy.column("kernel_mean").to_pylist()} == {256 * 8}
    back = Profiles.from_tables(parameters(), light, heavy, incomplete="drop")
    both = Profiles.merge(low, big)
    assert back.equals(both.take(both.records >= 8))
