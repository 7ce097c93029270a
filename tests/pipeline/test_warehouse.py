"""Opening a session: which lakes, which files, and what a session may do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from pipeline.errors import LakeError, UsageError
from pipeline.lake import Lake
from pipeline.parameters import Parameters
from pipeline.spaces import EmbeddingSpace
from pipeline.tables import table_schema
from pipeline.warehouse import SessionSettings, check_statement, connect
from pipeline.warehouse.binding import create_table, duckdb_type, identifier, literal

if TYPE_CHECKING:
    from pathlib import Path

SPACE = EmbeddingSpace("test-model", 8)


@cache
def parameters() -> Parameters:
    return Parameters.generate(SPACE, seed="warehouse")


def make_lake(path: Path) -> Lake:
    return Lake.create(path, parameters=parameters())


def verdict(lake: Lake, name: str, owner: str) -> None:
    rows = [
        {
            "verdict_id": name, "subject_kind": "account", "subject_id": "ann", "verdict": "benign", "reason": None,
            "owner": owner, "decided_at": 0, "expires_at": None, "alert_id": None,
        }
    ]  # fmt: skip
    file = lake.put_table("verdicts", pa.Table.from_pylist(rows, schema=table_schema("verdicts")))
    lake.publish(lambda manifest: manifest.with_tables("verdicts", [file], append=True))


def owners(session: Any) -> list[str]:
    return [row[0] for row in session.execute("select owner from verdicts order by owner").fetchall()]


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_what_is_no_lake_is_refused_with_the_way_out(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    with pytest.raises(UsageError, match=r"place .*no lake\.json.*distillwatch ingest --lake"):
        connect(path)


def test_a_damaged_alert_is_named(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    lake.store.put_bytes(b"{", "alerts/a1.json")
    with pytest.raises(LakeError, match=r"alerts/a1\.json is not an alert"):
        connect(lake.root)


def test_a_session_sees_the_lake_as_it_was_when_it_began(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    verdict(lake, "v1", "kim")
    before = connect(lake.root)
    snapshot = lake.snapshot()
    verdict(lake, "v2", "lee")
    assert owners(before) == ["kim"]
    assert owners(before.cursor()) == ["kim"]
    assert owners(connect(snapshot)) == ["kim"]
    assert owners(connect(lake.root)) == ["kim", "lee"]
    assert before.execute("select manifest from raw.lake").fetchone() == (1,)


# A name that is a pattern must not be read as one; a quote must not end the list of files.
@pytest.mark.parametrize(
    "name", ["plain", "l[a]ke", "l*ke ?", "it's", 'qu"ote', "день", "a;b", "a,b", "$x", "%41"]
)
def test_a_lake_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    # What the pattern would match instead.
    verdict(make_lake(tmp_path / "lake"), "v0", "wrong")
    lake = make_lake(tmp_path / name)
    verdict(lake, "v1", "right")
    assert owners(connect(tmp_path / name)) == ["right"]


def test_a_lake_behind_a_link_and_a_relative_name_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict(make_lake(tmp_path / "lake"), "v1", "kim")
    (tmp_path / "link").symlink_to("lake")
    assert owners(connect(tmp_path / "link")) == ["kim"]
    monkeypatch.chdir(tmp_path)
    session = connect("lake")
    monkeypatch.chdir("/")
    assert owners(session) == ["kim"]
    monkeypatch.chdir(tmp_path)
    assert owners(connect("link/../lake/.")) == ["kim"]


def test_cursors_of_several_threads_see_the_views(tmp_path: Path) -> None:
    verdict(make_lake(tmp_path / "lake"), "v1", "kim")
    session = connect(tmp_path / "lake")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(owners(session.cursor()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["kim"]] * 4


REFUSED = [
    "select * from read_text('{outside}')",
    "select * from '{outside}'",
    "select * from read_parquet('{sibling_table}')",
    "select * from read_parquet('{lake}/../lake-2/{table}')",
    "select * from glob('/*')",
    "attach '{sibling}/x.db' as x",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set memory_limit = '100GB'",
    "set threads = 64",
    "copy (select 1) to '{outside}'",
]


@pytest.mark.parametrize("query", REFUSED)
def test_a_session_is_kept_to_its_lake_and_its_settings(tmp_path: Path, query: str) -> None:
    lake, sibling = make_lake(tmp_path / "lake"), make_lake(tmp_path / "lake-2")
    for each in (lake, sibling):
        verdict(each, "v1", "kim")
    (table,) = sibling.manifest().tables["verdicts"]
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n")
    session = connect(lake.root)
    # The same file name inside the lake can be read, so it is not the name that is refused.
    assert session.execute(f"select owner from read_parquet('{lake.root}/{table.path}')").fetchall() == [
        ("kim",)
    ]
    text = query.format(
        outside=outside,
        sibling=sibling.root,
        sibling_table=sibling.root / table.path,
        lake=lake.root,
        table=table.path,
    )
    with pytest.raises(duckdb.Error):
        session.execute(text).fetchall()
    assert outside.read_text() == "secret\n"


def test_variables_of_the_calling_code_are_no_tables(tmp_path: Path) -> None:
    # Unlocked, because the lock alone refuses them too.
    session = connect(make_lake(tmp_path / "lake").root, SessionSettings(locked=False))
    mine = pa.table({"x": [1]})
    with pytest.raises(duckdb.Error, match="mine"):
        session.execute("select * from mine")
    assert mine.num_rows == 1


def test_settings_are_applied(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake").root
    session = connect(root, SessionSettings(memory_limit="100MB", threads=1))
    assert session.execute("select current_setting('threads')").fetchone() == (1,)
    with pytest.raises(duckdb.Error, match=r"(?i)memory"):
        session.execute(
            "select count(distinct x || 'a long text that fills memory') from range(20_000_000) t(x)"
        ).fetchall()
    open_session = connect(root, SessionSettings(locked=False))
    open_session.execute("set threads = 2")


def test_times_are_utc_wherever_the_machine_is(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake").root
    query = "select timestamptz '2026-01-01 00:00:00+00'::timestamp::varchar"
    code = f"from pipeline.warehouse import connect; print(connect({str(root)!r}).execute({query!r}).fetchone()[0])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "2026-01-01 00:00:00"


READING = [
    "select 1",
    "from windows",
    "with x as (select 1 as a) select a from x union all select 2",
    "with recursive t(i) as (select 1 union all select i + 1 from t where i < 3) select * from t",
    "values (1), (2)",
    "describe windows",
    "summarize account_scores",
    "show tables",
    "select 1;",
    "-- a note\nselect 1",
    "select ';' as semicolon",
]
WRITING = [
    ("", "empty"),
    ("  -- nothing", "empty"),
    ("select 1; select 2", "2 statements"),
    ("select 1; drop view windows", "2 statements"),
    ("create table t as select 1", "only reads"),
    ("insert into raw.verdicts values (1)", "only reads"),
    ("drop view windows", "only reads"),
    ("delete from raw.segments", "only reads"),
    ("update raw.segments set records = 0", "only reads"),
    ("copy (select 1) to '/tmp/never'", "only reads"),
    ("explain analyze select 1", "only reads"),
    ("prepare p as select 1", "only reads"),
    ("pragma database_list", "only reads"),
    ("call pragma_version()", "only reads"),
    ("set threads = 1", "only reads"),
    ("attach ':memory:' as other", "only reads"),
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return connect(make_lake(tmp_path_factory.mktemp("gate") / "lake").root)


@pytest.mark.parametrize("query", READING)
def test_reading_statements_pass_the_gate(session: Any, query: str) -> None:
    assert check_statement(session, query) == frozenset()
    session.execute(query).fetchall()


@pytest.mark.parametrize(("query", "why"), WRITING)
def test_other_statements_do_not(session: Any, query: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check_statement(session, query)


@pytest.mark.parametrize(
    "query",
    [
        "with x as (copy (select 1) to '{file}') select 1",
        "select * from (with x as (copy (select 1) to '{file}') select 1)",
        "select (with x as (copy (select 1) to '{file}') select 1)",
        "select 1 union all (with x as (copy (select 1) to '{file}') select 1)",
        "with x as (insert into raw.verdicts by name select 'v' as verdict_id returning *) select * from x",
        "with x as (delete from raw.segments returning *) select * from x",
    ],
)
def test_a_writing_statement_inside_a_select_does_not_either(
    session: Any, tmp_path: Path, query: str
) -> None:
    # DuckDB 1.5 does not parse these, DuckDB 2 runs them.
    file = tmp_path / "written.csv"
    with pytest.raises((UsageError, duckdb.Error)) as refused:
        check_statement(session, query.format(file=file))
    if refused.type is UsageError:
        assert "inside a SELECT" in str(refused.value)
    else:
        assert isinstance(refused.value, duckdb.ParserException)
    assert not file.exists()


def test_what_is_no_sql_is_duckdbs_error(session: Any) -> None:
    with pytest.raises(duckdb.ParserException):
        check_statement(session, "selec 1")


def test_named_parameters_are_reported_and_bound_as_values(session: Any) -> None:
    assert check_statement(session, "select $a, $b::bigint") == {"a", "b"}
    hostile = "x' or 1 = 1; drop view windows; --"
    query = "select count(*) from (values ('kim')) t(name) where name = $name"
    assert session.execute(query, {"name": hostile}).fetchone() == (0,)


def test_quoting_keeps_a_name_one_name() -> None:
    connection = duckdb.connect()
    for text in ("plain", "it's", "a''b", 'q"q', "\\", "\n", "'; drop"):
        assert connection.execute(f"select {literal(text)}").fetchone() == (text,)
        assert connection.execute(f"select 1 as {identifier(text)}").description[0][0] == text


def test_rows_that_python_read_arrive_as_they_are(session: Any) -> None:
    del session
    connection = duckdb.connect()
    connection.execute("create schema raw")
    columns = {
        "text": "VARCHAR",
        "number": "BIGINT",
        "names": "VARCHAR[]",
        "at": "TIMESTAMP",
        "day": "DATE",
        "on": "BOOLEAN",
    }
    rows = [
        {
            "text": 'quo"te\' \u2028 \\', "number": 2**63 - 1, "names": ["a", "b'c"], "at": "2026-01-01T02:00:00+01:00",
            "day": "2026-01-01", "on": True, "unknown": 1,
        },
        {},
    ]  # fmt: skip
    create_table(connection, "t", columns, rows)
    found = connection.execute("select * from raw.t").fetchall()
    assert found[0][:3] == ("quo\"te' \u2028 \\", 2**63 - 1, ["a", "b'c"])
    assert [str(value) for value in found[0][3:]] == ["2026-01-01 01:00:00", "2026-01-01", "True"]
    assert found[1] == (None,) * 6
    assert json.loads(connection.execute("select to_json(names) from raw.t").fetchone()[0]) == ["a", "b'c"]


def test_a_column_type_without_a_duckdb_name_is_said() -> None:
    with pytest.raises(TypeError, match="halffloat; add it"):
        duckdb_type(pa.float16())
