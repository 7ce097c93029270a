"""The views on an empty lake, their columns, and their agreement with the Python readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from pipeline.lake import Lake
from pipeline.lake.reader import read_records
from pipeline.profiles.schema import ASKABLE_FIELDS, LIGHT_FIELDS, PROFILES_SCHEMA, WINDOWS_SCHEMA
from pipeline.records.schema import record_schema
from pipeline.tables import TABLES
from pipeline.warehouse import connect, load_tree

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.profiles import Profiles

TREE = load_tree()
VIEWS = [file.name for file in TREE["views"]]
SOME_VALUE = {"text": "x", "integer": "3", "number": "1.5", "boolean": "true", "timestamp": "2026-01-01"}


@pytest.fixture(scope="module")
def populated_session(populated: Any) -> Any:
    return connect(populated.path)


def columns(session: Any, view: str) -> list[str]:
    return [column[0] for column in session.execute(f"select * from {view} limit 0").description]


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_exists_on_an_empty_lake_and_returns_no_rows(empty_session: Any, view: str) -> None:
    session = empty_session.cursor()
    assert session.execute(f"explain select * from {view}").fetchall()
    assert session.execute(f"select * from {view}").fetchall() == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_full_lake_gives_the_same_columns_and_types_as_an_empty_one(
    empty_session: Any, populated_session: Any, view: str
) -> None:
    query = f"describe select * from {view}"
    assert populated_session.execute(query).fetchall() == empty_session.execute(query).fetchall()


@pytest.mark.parametrize("file", TREE["playbooks"], ids=lambda file: file.name)
def test_every_playbook_runs_on_an_empty_lake(empty_session: Any, file: Any) -> None:
    session = empty_session.cursor()
    required = {p.name: SOME_VALUE[p.type] for p in file.parameters if p.required}
    everything = {p.name: SOME_VALUE[p.type] for p in file.parameters}
    for given in (required, everything):
        values = file.bind(given)
        assert session.execute(f"explain {file.statement}", values).fetchall()
        assert session.execute(file.statement, values).fetchall() == []


def test_the_columns_are_those_of_the_contract(empty_lake: Path, empty_session: Any) -> None:
    session = empty_session.cursor()
    assert columns(session, "windows") == WINDOWS_SCHEMA.names
    assert columns(session, "profiles")[: len(PROFILES_SCHEMA.names)] == PROFILES_SCHEMA.names
    for name, schema in TABLES.items():
        assert columns(session, name)[: len(schema.names)] == schema.names
    assert sorted(columns(session, "records")) == sorted(
        record_schema(Lake.open(empty_lake).config.space).names
    )
    assert columns(session, "dead_letters") == [
        "topic_id", "topic", "partition", "offset", "row", "reason", "detail", "raw", "raw_bytes",
    ]  # fmt: skip


def test_the_catalogue_says_what_each_view_is_for(empty_session: Any) -> None:
    session = empty_session.cursor()
    comments = dict(
        session.execute(
            "select view_name, comment from duckdb_views() where schema_name = 'main' and not internal"
        ).fetchall()
    )
    assert set(comments) == set(VIEWS)
    assert all(comment and "? Grain: " in comment for comment in comments.values())
    names = {
        row[0]
        for row in session.execute(
            "select function_name from duckdb_functions() where comment like '%Grain:%'"
        ).fetchall()
    }
    assert names == {file.name for file in TREE["macros"]}


def landed_profiles(builder: Any) -> Profiles:
    """Profiles of everything that is rolled up, computed anew from the records."""
    snapshot = builder.lake.snapshot()
    return builder.engine.profiles(read_records(snapshot, vector=snapshot.rollup_vector))


def test_windows_are_the_profiles_of_the_records_that_are_rolled_up(populated: Any) -> None:
    profiles = landed_profiles(populated)
    found = connect(populated.path).execute("select * from windows").fetchall()
    names = WINDOWS_SCHEMA.names
    wanted = [tuple(row[name] for name in names) for row in profiles.to_windows_table().to_pylist()]
    # Keys order by bytes in both; the account ids here are ASCII.
    assert sorted(found, key=lambda row: row[:2]) == wanted
    assert len(names) == 2 + len(LIGHT_FIELDS) + len(ASKABLE_FIELDS)
    deltas = connect(populated.path).execute("select count(*) from raw.windows").fetchone()[0]
    assert deltas > len(wanted), "no window has several deltas, so nothing was added up"


def test_heavy_deltas_add_up_to_the_profile(populated: Any, populated_session: Any) -> None:
    deltas = populated_session.execute(
        "select records, embedding_sum, moment, embedding_sum_bytes, kernel_mean_bytes from profiles where account_id = 'busy'"
    ).fetchall()
    assert len(deltas) == 3, "the view shows deltas as they landed"
    assert {row[3:] for row in deltas} == {(4, 4)}
    profiles = landed_profiles(populated).of_accounts(["busy"])
    assert sum(row[0] for row in deltas) == profiles.records[0] == 27
    assert (sum(np.frombuffer(row[1], "<i4") for row in deltas) == profiles.embedding_sum[0]).all()
    assert (sum(np.frombuffer(row[2], "<i8") for row in deltas) == profiles.moment[0]).all()


def test_records_and_dead_letters_are_those_that_landed(build: Any) -> None:
    builder = build()
    builder.add(
        [
            {"account_id": "a", "event_time": "2026-01-10T08:00:00", "input_tokens": 4, "direction": 9},
            {"reason": "not_json", "detail": "line 1", "raw": "{"},
            {"account_id": "b", "event_time": "2026-01-10T09:00:00"},
        ]
    )
    builder.land()
    session = connect(builder.path)
    assert session.execute(
        'select account_id, "offset", input_tokens, octet_length(embedding) from records order by "offset"'
    ).fetchall() == [("a", 0, 4, 8), ("b", 2, None, 8)]
    assert session.execute('select "offset", reason, raw, raw_bytes from dead_letters').fetchall() == [
        (1, "not_json", b"{", 1)
    ]


def test_segments_say_how_far_windows_are_behind(build: Any) -> None:
    builder = build()
    line = {"account_id": "a", "event_time": "2026-01-10T08:00:00"}
    builder.add([line, line, {**line, "partition": 1}])
    builder.roll_up()
    builder.add([line, line, line])
    builder.land()
    query = (
        'select "partition", first_offset, last_offset, records, windows_landed, chain_records_behind '
        'from segments order by "partition", first_offset'
    )
    assert connect(builder.path).execute(query).fetchall() == [
        (0, 0, 1, 2, True, 3),
        (0, 2, 4, 3, False, 3),
        (1, 0, 0, 1, True, 0),
    ]
    builder.roll_up()
    session = connect(builder.path)
    assert session.execute(
        "select sum(chain_records_behind), bool_and(windows_landed) from segments"
    ).fetchone() == (
        0,
        True,
    )
    files = session.execute(
        'select "partition", first_offset, records, windows from window_files order by all'
    ).fetchall()
    assert files == [(0, 0, 2, 1), (0, 2, 3, 1), (1, 0, 1, 1)]


def test_compaction_changes_no_answer(build: Any, populate: Any) -> None:
    builder = build()
    populate(builder)
    builder.add([{"reason": "not_json", "detail": "no", "raw": "{"}])
    builder.roll_up()
    views = ("windows", "records", "dead_letters")
    before = connect(builder.path)
    builder.compact()
    # What comes after lies beside the run.
    builder.add([{"account_id": "account-07", "event_time": "2026-01-10T08:00:00"}])
    builder.land()
    after = connect(builder.path)
    for view in views:
        wanted = before.execute(f"select * from {view} order by all").fetchall()
        found = after.execute(f"select * from {view} order by all").fetchall()
        assert len(found) == len(wanted) + (view == "records")
        assert [row for row in found if row in wanted] == wanted
    assert after.execute("select count(*) from raw.windows").fetchone() == (
        len(before.execute("from windows").fetchall()),
    )
    # Ranges of one chain join without a gap, whether absorbed by the run or landed since.
    ranges = after.execute(
        'select "partition", first_offset, last_offset, run_id is not null, records + rejected, windows_landed '
        'from segments order by "partition", first_offset'
    ).fetchall()
    held = dict(before.execute('select "partition", max(last_offset) from segments group by 1').fetchall())
    assert ranges == [
        (0, 0, held[0], True, held[0] + 1, True),
        (0, held[0] + 1, held[0] + 1, False, 1, False),
        (1, 0, held[1], True, held[1] + 1, True),
    ]
    named = after.execute(
        "select name, count(*), sum(rows) from manifest where kind = 'run' group by 1 order by 1"
    ).fetchall()
    counted = dict(after.execute("select name, sum(rows) from manifest group by 1").fetchall())
    assert [name for name, *_ in named] == ["dead_letters", "profiles", "records", "windows"]
    assert counted["records"] == before.execute("select count(*) from records").fetchone()[0]
    dates = after.execute('select "date", windows from window_files order by 1').fetchall()
    assert [str(date) for date, _ in dates] == ["2026-01-10", "2026-01-11"]
    assert sum(windows for _, windows in dates) == counted["windows"]


def test_a_filter_on_the_account_reaches_the_files(populated: Any) -> None:
    plan = (
        connect(populated.path)
        .execute("explain select * from windows where account_id = 'account-07'")
        .fetchall()[0][1]
    )
    scan = (
        plan[plan.index("READ_PARQUET") :] if "READ_PARQUET" in plan else plan[plan.index("PARQUET_SCAN") :]
    )
    assert "account_id" in scan
    assert "account-07" in scan


def test_a_view_over_missing_columns_names_the_one_that_is_missing(build: Any) -> None:
    builder = build()
    import pyarrow as pa

    file = builder.lake.put_table("verdicts", pa.table({"verdict_id": ["v"]}))
    builder.lake.publish(lambda manifest: manifest.with_tables("verdicts", [file]))
    with pytest.raises(duckdb.Error, match="subject_kind"):
        connect(builder.path)
