"""The session as those who build on it meet it: answers, their types, snapshots, and machines that cannot confine."""

from __future__ import annotations

import os
import struct
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import QueryFailed, SandboxMissing, UsageError
from pipeline.sandbox import Sandbox, landlock
from pipeline.sandbox.frames import pack, read_frame, unpack
from pipeline.sandbox.values import distinct_names

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_answer_says_where_it_comes_from(sandbox: Sandbox) -> None:
    answer = sandbox.ask(
        "select account_id, score from account_scores where score >= $least order by score", {"least": 0.75}
    )
    assert answer.rows() == [{"account_id": "account-6", "score": 0.75}]
    assert answer.sql.startswith("select account_id")
    assert answer.parameters == {"least": 0.75}
    assert answer.manifest == sandbox.manifest == 2
    assert answer.types == ("VARCHAR", "DOUBLE")
    assert not answer.truncated
    assert len(answer.audit) == 64
    assert "landlock" in sandbox.guard


def test_columns_have_distinct_names_and_sums_are_integers(sandbox: Sandbox) -> None:
    answer = sandbox.ask(
        "select sum(records) as n, 1 as n, 2 as n_2, 2::hugeint ** 70 as large from account_scores"
    )
    assert answer.table.schema.names == ["n", "n_2", "n_2_2", "large"]
    assert answer.table.schema.field("n").type == pa.int64()
    assert answer.rows()[0]["n"] == sum(range(50, 57))


def test_an_answer_without_rows_has_its_columns(sandbox: Sandbox) -> None:
    assert sandbox.ask("select account_id, 1.5 as x from account_scores where false").table.schema.names == [
        "account_id",
        "x",
    ]


def test_times_are_utc_in_every_query(sandbox: Sandbox) -> None:
    query = "select timestamptz '2026-01-01 00:00:00+00'::timestamp::varchar as t, current_setting('timezone') as z"
    assert sandbox.ask(query, _gate=False).rows() == [{"t": "2026-01-01 00:00:00", "z": "UTC"}]
    assert sandbox.ask(query.replace(", current_setting('timezone') as z", "")).rows() == [
        {"t": "2026-01-01 00:00:00"}
    ]


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -(2**63), 1.5, float("inf"), "text", datetime(2026, 1, 1, 2, 3), b"\0\xff", ["a", "b"], [1, None]],
)  # fmt: skip
def test_values_arrive_as_they_are(sandbox: Sandbox, value: Any) -> None:
    assert unpack(pack("v", value)) == value
    assert sandbox.ask("select $v as v", {"v": value}).rows() == [{"v": value}]


@pytest.mark.parametrize(
    ("sql", "parameters", "why"),
    [
        ("select $v", {"v": {1}}, "parameter v is a set"),
        ("select $v", {"v": 10**5000}, "parameter v has 16610 bits"),
        ("select $v", {"v": [1, 2**129]}, "parameter v has 130 bits"),
        ("select $v", {"v": "\ud800"}, "parameter v is not Unicode text"),
        ("select $v", {"v": "x" * (9 << 20)}, "the parameters take 9 MiB; 8 are the most"),
        ("select $v", {"\ud800": 1}, "name of a parameter is not Unicode text"),
        ("select '\ud800'", {}, "the query is not Unicode text"),
        ("select 1\0; copy (select 1) to 'x'", {}, "zero byte at character 9"),
        ("select ?, $a", {"a": 1}, "Mixing named and positional"),
        ("select $a, $A", {"a": 1, "A": 2}, "no parameter 'A'; it takes a"),
    ],
)
def test_what_cannot_be_asked_is_said(
    sandbox: Sandbox, sql: str, parameters: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        sandbox.ask(sql, parameters)


def test_an_array_is_no_value(sandbox: Sandbox) -> None:
    with pytest.raises(UsageError, match="parameter v is a ndarray"):
        sandbox.ask("select $v", {"v": np.zeros(3)})
    assert sandbox.ask("select $v as v", {"v": np.float32(0.5)}).rows() == [{"v": 0.5}]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        # Arrow has no unsigned integer of 128 bits: DuckDB hands over the upper half as negative numbers.
        ("340282366920938463463374607431768211455::uhugeint", "340282366920938463463374607431768211455"),
        ("[340282366920938463463374607431768211455::uhugeint]", "[340282366920938463463374607431768211455]"),
        ("7::uhugeint", 7),
        ("(-7)::hugeint", -7),
        ("'0101'::bit", "0101"),
        ("'12:00:00+02'::timetz", "12:00:00+02"),
        ("'infinity'::timestamp", "infinity"),
        ("'-infinity'::date", "-infinity"),
        ("timestamp '290000-01-01 00:00:00'", "290000-01-01 00:00:00.000000"),
        ("'2026-01-01 00:00:00.123456789'::timestamp_ns", "2026-01-01 00:00:00.123456789"),
        ("'2026-01-01 00:00:00.123456'::timestamp_ns", datetime(2026, 1, 1, microsecond=123456)),
        ("timestamp '9999-12-31 23:59:59'", datetime(9999, 12, 31, 23, 59, 59)),
        ("timestamp '0001-01-01 00:00:00'", datetime(1, 1, 1)),
        ("'a'::enum('a', 'b')", "a"),
        ("union_value(k := 1)", 1),
        ("{'a': 1}::variant", "{'a': 1}"),
        ("null", None),
    ],
)
def test_every_type_arrives_as_what_it_is(sandbox: Sandbox, sql: str, value: Any) -> None:
    assert sandbox.ask(f"select {sql} as v").rows() == [{"v": value}]


@pytest.mark.parametrize(
    "sql", ["['infinity'::date]", "{'a': 'infinity'::timestamp}", "map {1: 'infinity'::date}"]
)
def test_a_time_without_end_inside_a_value_is_said(sandbox: Sandbox, sql: str) -> None:
    with pytest.raises(QueryFailed, match=r"column v .* beyond the years 1 to 9999.*v::varchar"):
        sandbox.ask(f"select {sql} as v")


def test_a_hundred_thousand_columns_of_one_name_take_no_time() -> None:
    names = distinct_names(["a"] * 100_000 + ["a_2"])
    assert len(set(names)) == len(names)


def test_a_message_that_quotes_a_large_value_is_cut(sandbox: Sandbox) -> None:
    with pytest.raises(QueryFailed, match=r"… \(\d{7} characters\)") as failed:
        sandbox.ask("select cast(repeat('x', 1000000) as int)")
    assert len(failed.value.message) < 5000


def test_a_frame_that_says_it_is_endless_is_not_waited_for() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, struct.pack("<cQ", b"B", 1 << 60))
    with pytest.raises(ValueError, match="a frame of"):
        read_frame(ours, 1 << 20)
    os.close(theirs)
    assert read_frame(ours, 1 << 20) is None
    os.close(ours)


def test_playbooks_take_texts_and_typed_values(sandbox: Sandbox) -> None:
    texts = sandbox.playbook("account_timeline", {"account_id": "x", "since": "2026-01-01"})
    typed = sandbox.playbook("account_timeline", {"account_id": "x", "since": datetime(2026, 1, 1)})
    assert texts.parameters == typed.parameters
    for given, why in [({}, "needs account_id"), ({"account": "x"}, "did you mean account_id"), ({"account_id": "x", "since": "soon"}, "has to be a time")]:  # fmt: skip
        with pytest.raises(UsageError, match=why):
            sandbox.playbook("account_timeline", given)


def test_a_session_stays_on_its_snapshot_until_it_is_told(
    lake_of: Callable[[], Any], needs_landlock: None
) -> None:
    lake = lake_of()
    with Sandbox(lake.root, who="tests") as session, Sandbox(lake.root, who="tests", manifest=1) as older:
        assert session.manifest == 2
        assert older.manifest == 1
        count = "select count(*) as n from verdicts"
        assert session.ask(count).rows() == [{"n": 1}]
        assert older.ask(count).rows() == [{"n": 0}]
        lake.publish(lambda manifest: manifest.with_tables("verdicts", []))
        assert session.ask(count).rows() == [{"n": 1}]
        session._warden.drop_child()
        assert session.ask(count).rows() == [{"n": 1}], "a new process sees the same"
        assert session.refresh() == 3
        assert session.ask(count).rows() == [{"n": 0}]


def test_a_manifest_that_is_not_there_is_said(world: Any) -> None:
    with pytest.raises(UsageError, match=r"no manifest 9 .*the newest is 2"):
        Sandbox(world.lake, who="tests", manifest=9)


def test_a_manifest_whose_files_were_swept_is_said(lake_of: Callable[[], Any]) -> None:
    lake = lake_of()
    (file,) = lake.manifest(1).tables["account_scores"]
    lake.publish(lambda manifest: manifest.with_tables("account_scores", []))
    (lake.root / file.path).unlink()
    with pytest.raises(
        UsageError, match=r"manifest 1 can no longer be seen .*account_scores.*the newest is 3"
    ):
        Sandbox(lake.root, who="tests", manifest=1)


def test_no_lake_is_said(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="distillwatch ingest"):
        Sandbox(tmp_path, who="tests")


def test_without_landlock_it_refuses_unless_that_will_do(
    world: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.sandbox import AuditLog

    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(landlock, "why_missing", lambda: "this kernel has no Landlock")
    log = AuditLog(tmp_path / "log.jsonl")
    with pytest.raises(SandboxMissing, match=r"this kernel has no Landlock\. With --weaker-guard"):
        Sandbox(world.lake, who="tests", audit=log)
    with Sandbox(world.lake, who="tests", audit=log, weaker_guard=True) as session:
        assert "landlock" not in session.guard
        assert session.ask("select 1 as x").rows() == [{"x": 1}]
        # What is left holds what it can.
        with pytest.raises(UsageError):
            session.ask(f"copy (select 1) to '{tmp_path}/new'")
        with pytest.raises(Exception, match="Permission"):
            session.ask(f"copy (select 1) to '{tmp_path}/new'", _gate=False)
    assert next(iter(log)).document["guard"] == session.guard


def test_what_can_be_asked_is_listed(sandbox: Sandbox) -> None:
    catalogue = sandbox.catalogue
    assert ("account_id", "VARCHAR") in catalogue.relations["account_scores"].columns
    assert "Grain" in catalogue.relations["account_scores"].comment
    assert "raw.segments" in catalogue.relations
    assert catalogue.macros["safe_div"].parameters == ("a", "b")


def test_several_sessions_are_open_at_once(lake_of: Callable[[], Any], needs_landlock: None) -> None:
    root = lake_of().root
    sessions = [Sandbox(root, who=f"p{number}") for number in range(3)]
    try:
        assert [each.ask("select count(*) as n from account_scores").rows()[0]["n"] for each in sessions] == [
            7,
            7,
            7,
        ]
        assert len({each.child for each in sessions}) == 3
    finally:
        for each in sessions:
            each.close()
    assert sessions[0].audit.verify().lines == 6
