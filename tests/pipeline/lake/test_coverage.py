"""Every way in which a lake can contradict itself is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lake_support import TOPIC_ID, decoded, engine, make_lake, make_lander, make_records, make_rejected, part

from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.lake.coverage import check_coverage
from pipeline.lake.losses import declare_lost
from pipeline.lake.parquet import LakeFileWriter, read_footer
from pipeline.lake.reader import read_profiles
from pipeline.lake.recompute import recompute
from pipeline.lake.segments import describe_segment, put_segment
from pipeline.lake.tombstones import forget_rows
from pipeline.records.schema import KIND_FORGOTTEN

RECORDS = make_records(400, accounts=2)
KEY = f"{TOPIC_ID}/0"


@pytest.fixture
def lake(quick_path):
    """Offsets 0-99 in a run, 100-299 rolled up, 300-400 in segments; 400 was rejected."""
    lake = make_lake(quick_path / "lake")
    lander = make_lander(lake)
    for low, high in ((0, 100), (100, 200), (200, 300), (300, 400)):
        lander.accept(part(RECORDS, low, high), low, high)
        lander.land()
        if high == 100:
            compact(lake, engine())
        if high == 300:
            lander.roll_up()
    lander.accept(decoded(RECORDS.slice(0, 0), make_rejected([400])), 400, 401)
    lander.land()
    return lake


def findings(lake, **options):
    coverage = check_coverage(Lake.open(lake.root).snapshot(), **options)
    return {finding.check for finding in coverage.findings if finding.severity == "error"}


def rewrite(path, change, metadata=None):
    """Replace a file's rows, leaving what it says of itself (or not)."""
    document = read_footer(path).metadata
    keys = {k.decode(): v.decode() for k, v in pq.read_metadata(path).metadata.items() if b"." in k}
    table = change(pq.read_table(path, partitioning=None))
    path.unlink()
    writer = LakeFileWriter(path, table.schema, row_group=1000)
    writer.write(table)
    writer.close({**document, **(metadata or {})}, keys)


def set_value(table, name, row, value):
    index = table.schema.get_field_index(name)
    values = table.column(name).to_pylist()
    values[row] = value
    return table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def test_a_sound_lake(lake):
    coverage = check_coverage(lake.snapshot())
    assert coverage.findings == ()
    assert coverage.holds
    (chain,) = coverage.chains
    assert (chain.start, chain.head, chain.absorbed) == (0, 401, 100)
    assert (chain.records, chain.rejected, chain.forgotten, chain.lost) == (400, 1, 0, 0)


def test_progress_reaches_the_end(lake):
    told = []
    check_coverage(lake.snapshot(), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(told)


def segment_path(lake, first):
    (segment,) = [s for s in lake.snapshot().segments if s.first_offset == first]
    return lake.store.path(segment.key)


def run_path(lake, kind, date="2026-01-01"):
    (file,) = [f for f in lake.manifest().files if (f.kind, f.date) == (kind, date)]
    return lake.store.path(file.path)


def test_a_row_less_or_twice_in_a_segment(lake):
    path = segment_path(lake, 300)
    rewrite(path, lambda t: pa.concat_tables([t.slice(0, 99), t.slice(0, 1)]))
    assert findings(lake) == {"twice", "positions_digest", "contents_digest"}


def test_a_value_changed_in_a_segment(lake):
    rewrite(segment_path(lake, 300), lambda t: set_value(t, "output_tokens", 5, 123_456))
    assert findings(lake) == {"contents_digest"}
    assert findings(lake, contents=False) == set()


def test_an_offset_outside_the_range(lake):
    rewrite(segment_path(lake, 300), lambda t: set_value(t, "offset", 0, 5))
    assert findings(lake, contents=False) == {"outside_range", "positions_digest"}


def test_rows_of_another_chain(lake):
    rewrite(segment_path(lake, 300), lambda t: set_value(t, "partition", 0, 7))
    assert findings(lake, contents=False) == {"foreign_rows"}


def test_counts_that_are_not_the_rows(lake):
    path = segment_path(lake, 400)
    rewrite(path, lambda t: set_value(t, "kind", 0, "record"))
    assert findings(lake, contents=False) == {"row_count"}


def test_a_missing_link_makes_the_rest_unreachable(lake):
    segment_path(lake, 300).unlink()
    assert findings(lake) == {"unreachable"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.slice(1), {"file_changed", "row_count", "positions_digest"}),
        (
            lambda t: pa.concat_tables([t, t.slice(0, 1)]),
            {"file_changed", "row_count", "twice", "positions_digest"},
        ),
        (
            lambda t: set_value(t, "offset", 0, 350),
            {"file_changed", "row_count", "positions_digest", "unabsorbed_rows"},
        ),
        (
            lambda t: set_value(t, "partition", 0, 9),
            {"file_changed", "row_count", "positions_digest", "unabsorbed_rows"},
        ),
        (lambda t: set_value(t, "model", 0, "m-3"), {"file_changed"}),
    ],
    ids=["a row less", "a row twice", "a row nobody absorbed", "a row of another chain", "a value"],
)
def test_a_damaged_run(lake, change, expected):
    rewrite(run_path(lake, "records"), change)
    assert findings(lake) == expected


def test_files_that_are_gone(lake):
    run_path(lake, "windows").unlink()
    lake.store.path(lake.snapshot().rollups[0].heavy).unlink()
    assert findings(lake) == {"file_missing"}


def test_a_run_file_cut_in_rows(lake):
    rewrite(run_path(lake, "windows"), lambda t: t.slice(1))
    assert findings(lake, contents=False) == {"row_count"}


def test_a_gap_between_spans_and_a_vector_that_disagrees(lake):
    def break_it(manifest):
        (span,) = manifest.spans[KEY]
        return replace(manifest, spans={KEY: (replace(span, first_offset=10),)}, absorbed={KEY: 200})

    lake.publish(break_it)
    assert findings(lake) >= {"span_gap", "absorbed_vector", "row_count", "unabsorbed_rows"}


def test_a_roll_up_that_says_other_records(lake):
    path = lake.store.path(lake.snapshot().rollups[0].key)
    rewrite(path, lambda t: t, {"records": 199})
    assert findings(lake) == {"rollup_records"}


def test_a_roll_up_that_ends_inside_a_segment(lake):
    path = lake.store.path(lake.snapshot().rollups[0].key)
    rewrite(path, lambda t: t, {"last_offset": 249})
    assert findings(lake) == {"rollup_range"}


def test_a_segment_of_another_configuration(lake):
    path = segment_path(lake, 300)
    rewrite(path, lambda t: t, {"parameters": "other", "lake_fingerprint": "other"})
    assert findings(lake) == {"parameters", "lake_fingerprint"}


def test_a_declared_loss_is_a_note(lake):
    declare_lost(lake, TOPIC_ID, 0, 451, by="operator", why="retention")
    coverage = check_coverage(lake.snapshot())
    assert coverage.holds
    (note,) = coverage.findings
    assert (note.check, note.where, note.found) == (
        "declared_lost",
        "offsets 401 to 450",
        "operator: retention",
    )
    assert coverage.chains[0].lost == 50
    compact(lake, engine())
    assert check_coverage(lake.snapshot()).chains[0].lost == 50


# Tombstones


def test_tombstones_keep_positions_and_nothing_else(lake):
    segment = lake.snapshot().segments[2]
    assert segment.first_offset == 300
    path = lake.store.path(segment.key)
    table = pq.read_table(path, partitioning=None)
    gone = table.column("account_id")[0].as_py()
    mask = pc.equal(table.column("account_id"), gone)
    forgotten = forget_rows(
        table, mask, reason="request 17", by="operator", when=datetime(2026, 3, 1, tzinfo=UTC)
    )
    rows = [row for row in forgotten.to_pylist() if row["kind"] == KIND_FORGOTTEN]
    assert len(rows) == sum(mask.to_pylist()) > 1
    for row in rows:
        assert {name for name, value in row.items() if value is not None} == {
            "topic_id", "topic", "partition", "offset", "row", "kind", "reason", "detail"
        }  # fmt: skip
        assert row["reason"] == "request 17"
        assert row["detail"] == '{"by": "operator", "when": "2026-03-01T00:00:00+00:00"}'
    described = describe_segment(
        forgotten, segment.chain, topic=segment.topic, cluster_id=segment.cluster_id, first_offset=300, last_offset=399,
        lake_fingerprint=segment.lake_fingerprint, parameters=segment.parameters, writer="w", created_at=datetime(2026, 3, 1),
    )  # fmt: skip
    assert described.positions_digest == segment.positions_digest
    assert described.contents_digest != segment.contents_digest
    path.unlink()
    put_segment(lake.store, forgotten, described)
    lake = Lake.open(lake.root)
    coverage = check_coverage(lake.snapshot())
    assert coverage.findings == ()
    assert (coverage.chains[0].records, coverage.chains[0].forgotten) == (400 - len(rows), len(rows))
    kept = [not (r["offset"] >= 300 and r["account_id"] == gone) for r in RECORDS.to_pylist()]
    assert read_profiles(lake.snapshot(), engine()).equals(engine().profiles(RECORDS.filter(pa.array(kept))))


# Recomputation


def test_a_sound_lake_recomputes(lake):
    snapshot = lake.snapshot()
    done = recompute(snapshot, engine())
    landed = sum(pq.read_metadata(path).num_rows for path in snapshot.window_files())
    assert (done.windows, done.differences) == (landed, ())
    sampled = recompute(snapshot, engine(), sample=20, seed=3)
    assert 20 <= sampled.windows <= 22
    assert sampled.differences == ()


def thick_row(path):
    return next(
        i
        for i, n in enumerate(pq.read_table(path, partitioning=None).column("records").to_pylist())
        if n >= 8
    )


@pytest.mark.parametrize("where", ["roll-up", "run"])
def test_each_changed_field_is_named(lake, where):
    windows = (
        lake.store.path(lake.snapshot().rollups[0].key) if where == "roll-up" else run_path(lake, "windows")
    )
    heavy = (
        lake.store.path(lake.snapshot().rollups[0].heavy)
        if where == "roll-up"
        else run_path(lake, "profiles")
    )
    row = thick_row(windows)
    before = pq.read_table(windows, partitioning=None).to_pylist()[row]
    hours = [dict(pair) for pair in before["hour_histogram"]]
    hours[0]["count"] += 2
    rewrite(
        windows, lambda t: set_value(set_value(t, "output_tokens", row, 77), "hour_histogram", row, hours)
    )
    blob = bytearray(pq.read_table(heavy, partitioning=None).column("moment")[0].as_py())
    blob[8 * 3] ^= 1
    rewrite(heavy, lambda t: set_value(t, "moment", 0, bytes(blob)))
    found = {d.field: d for d in recompute(Lake.open(lake.root).snapshot(), engine()).differences}
    assert set(found) == {"output_tokens", f"hour_histogram[{hours[0]['bucket']}]", "moment[3]"}
    tokens = found["output_tokens"]
    assert (tokens.account_id, tokens.landed, tokens.recomputed) == (
        before["account_id"],
        "77",
        str(before["output_tokens"]),
    )
    assert tokens.window_start == before["window_start"].isoformat()
    assert tokens.file == str(windows)
    assert found["moment[3]"].file == str(heavy)
    everything = recompute(Lake.open(lake.root).snapshot(), engine(), sample=10**6)
    assert {d.field for d in everything.differences} == set(found)


def test_missing_and_invented_windows_are_named(lake):
    path = lake.store.path(lake.snapshot().rollups[0].key)
    rows = pq.read_table(path, partitioning=None).to_pylist()
    thin = next(i for i, row in enumerate(rows) if row["records"] < 8)
    rewrite(path, lambda t: set_value(t, "window_start", thin, datetime(2020, 1, 1)))
    found = recompute(Lake.open(lake.root).snapshot(), engine()).differences
    assert {(d.window_start, d.landed, d.recomputed) for d in found} == {
        ("2020-01-01T00:00:00", str(rows[thin]["records"]), None),
        (rows[thin]["window_start"].isoformat(), None, str(rows[thin]["records"])),
    }


@pytest.mark.parametrize("half", ["windows", "profiles"])
@pytest.mark.parametrize("where", ["roll-up", "run"])
def test_rows_that_are_missing_are_noticed_whatever_is_sampled(lake, where, half):
    rollup = lake.snapshot().rollups[0]
    landed = {"windows": rollup.key, "profiles": rollup.heavy}[half]
    path = lake.store.path(landed) if where == "roll-up" else run_path(lake, half)
    account = pq.read_table(path, partitioning=None).column("account_id")[0]
    rewrite(path, lambda t: t.filter(pc.not_equal(t.column("account_id"), account)))
    # With the file's own rows sampled only: what is left of them is right.
    found = recompute(Lake.open(lake.root).snapshot(), engine(), sample=1).differences
    (sums,) = [d for d in found if not d.account_id and d.file == str(path)]
    assert sums.where == "all rows, sum of records"
    assert int(sums.landed) < int(sums.recomputed)


def test_most_bounds_what_is_reported(lake):
    path = lake.store.path(lake.snapshot().rollups[0].key)
    index = 3

    def zero(table):
        name = table.schema.names[index]
        values = pa.array([10**9] * table.num_rows, pa.int64())
        return table.set_column(index, table.schema.field(name), values)

    rewrite(path, zero)
    assert len(recompute(Lake.open(lake.root).snapshot(), engine(), most=5).differences) == 5
