"""The session as those who build on it meet it: answers, their types, snapshots, and machines that cannot confine."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipeline.errors import SandboxMissing, UsageError
from pipeline.sandbox import Sandbox, landlock
from pipeline.sandbox.frames import pack, unpack

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


def test_what_cannot_be_bound_is_said(sandbox: Sandbox) -> None:
    with pytest.raises(UsageError, match="parameter v is a set"):
        sandbox.ask("select $v", {"v": {1}})


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
