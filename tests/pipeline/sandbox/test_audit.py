"""The record: written before a query runs, by many at once, and whoever touches a line is found."""

from __future__ import annotations

import json
import multiprocessing
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.clock import ManualClock
from pipeline.errors import DistillwatchError, QueryFailed, UsageError
from pipeline.sandbox import AuditBroken, AuditLog, Sandbox
from pipeline.sandbox.audit import BEGINNING, digest, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(
        tmp_path / "audit" / "queries.jsonl", clock=ManualClock(datetime(2026, 11, 24, tzinfo=UTC))
    )


def fill(log: AuditLog, queries: int = 5) -> AuditLog:
    for number in range(queries):
        entry = log.asked(who="kim", case=None, sql=f"select {number}", parameters={"n": number}, manifest=1)
        log.ended(entry, outcome="answered", rows=1, milliseconds=1.0)
    return log


def lines(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


def put(log: AuditLog, changed: list[bytes]) -> None:
    log.path.write_bytes(b"".join(changed))


def rewritten(line: bytes, **about: Any) -> bytes:
    """A line with other content and a hash that fits it."""
    document = json.loads(line) | about
    document["hash"] = digest(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def broken_at(log: AuditLog) -> int:
    with pytest.raises(AuditBroken) as broken:
        log.verify()
    assert f"line {broken.value.line}" in str(broken.value) or f"lines {broken.value.line} " in str(
        broken.value
    )
    return broken.value.line


def test_a_whole_record_is_whole(log: AuditLog) -> None:
    assert log.verify().lines == 0
    found = fill(log).verify()
    assert found.lines == 10
    assert found.head == [entry.hash for entry in log][-1]
    first = next(iter(log)).document
    assert first["previous"] == BEGINNING
    assert first["at"] == "2026-11-24T00:00:00.000Z"
    assert log.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", range(10))
def test_a_changed_line_is_named(log: AuditLog, place: int) -> None:
    changed = lines(fill(log))
    changed[place] = changed[place].replace(b"2026-11-24", b"2026-11-23")
    put(log, changed)
    assert broken_at(log) == place + 1


@pytest.mark.parametrize("place", range(10))
def test_a_line_changed_with_its_hash_is_named(log: AuditLog, place: int) -> None:
    changed = lines(fill(log))
    changed[place] = rewritten(changed[place], who="lee")
    put(log, changed)
    assert broken_at(log) == place + 1


@pytest.mark.parametrize("place", range(10))
def test_every_byte_of_a_line_counts(log: AuditLog, place: int) -> None:
    changed = lines(fill(log))
    whole = changed[place]
    for byte in range(place, len(whole), 29):
        changed[place] = whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :]
        put(log, changed)
        assert broken_at(log) == place + 1


@pytest.mark.parametrize("place", range(10))
def test_a_removed_line_is_named(log: AuditLog, place: int) -> None:
    changed = lines(fill(log))
    del changed[place]
    put(log, changed)
    assert broken_at(log) == place + 1


@pytest.mark.parametrize("place", range(11))
@pytest.mark.parametrize("which", [0, 4, 9])
def test_an_inserted_line_is_named(log: AuditLog, place: int, which: int) -> None:
    changed = lines(fill(log))
    changed.insert(place, changed[which])
    put(log, changed)
    # Beside its original one cannot tell which of the two is the copy.
    assert broken_at(log) in ({place + 1, which + 2} if which == place else {place + 1})


def test_lines_that_changed_places_are_named(log: AuditLog) -> None:
    changed = lines(fill(log))
    changed[3], changed[4] = changed[4], changed[3]
    put(log, changed)
    assert broken_at(log) == 4


@pytest.mark.parametrize("left", range(10))
def test_an_end_that_was_cut_off_is_seen(log: AuditLog, left: int) -> None:
    put(log, lines(fill(log))[:left])
    assert broken_at(log) == left + 1


def test_an_end_cut_off_in_both_files_needs_a_hash_from_elsewhere(log: AuditLog) -> None:
    noted = fill(log).verify().head
    fill(log)
    put(log, lines(log)[:6])
    last = json.loads(lines(log)[-1])
    log.head.write_text(json.dumps({"hash": last["hash"], "n": last["n"]}))
    assert log.verify().lines == 6
    with pytest.raises(AuditBroken, match=r"no line .* has the hash"):
        log.verify(head=noted)
    assert verify(log.path, head=last["hash"]).lines == 6


def test_a_head_that_is_gone_or_damaged_is_said(log: AuditLog) -> None:
    fill(log).head.unlink()
    with pytest.raises(AuditBroken, match=r"head is missing"):
        log.verify()
    log.head.write_text("{")
    with pytest.raises(AuditBroken, match=r"was changed"):
        log.verify()


def test_a_writer_that_died_within_its_line_is_told_and_no_more(log: AuditLog) -> None:
    fill(log)
    with log.path.open("ab") as file:
        file.write(b'{"at":"2026')
    with pytest.raises(AuditBroken, match=r"line 11 is not complete"):
        log.verify()
    fill(log, 1)
    assert log.verify().lines == 13
    assert [entry.document["event"] for entry in log][10] == "repaired"


def test_a_writer_that_died_between_line_and_head_does_no_harm(log: AuditLog) -> None:
    before = fill(log).head.read_bytes()
    fill(log, 1)
    log.head.write_bytes(before)
    assert log.verify().lines == 12


def test_a_damaged_end_is_not_built_upon(log: AuditLog) -> None:
    with fill(log).path.open("ab") as file:
        file.write(b"no json\n")
    with pytest.raises(DistillwatchError, match="audit verify"):
        fill(log)


@pytest.mark.parametrize("left", range(10))
def test_a_cut_end_is_not_built_upon(log: AuditLog, left: int) -> None:
    # The next line would take the missing one's number, and the head with it: nothing would show any more.
    put(log, lines(fill(log))[:left])
    with pytest.raises(DistillwatchError, match=rf"ends at line {left} and had 10.*--audit FILE"):
        fill(log, 1)
    assert broken_at(log) == left + 1


def test_a_record_whose_last_line_was_made_up_is_not_built_upon(log: AuditLog) -> None:
    changed = lines(fill(log))
    put(log, [*changed[:9], rewritten(changed[9], who="lee")])
    with pytest.raises(DistillwatchError, match=r"line 10 is not the one that was written"):
        fill(log, 1)


@pytest.mark.parametrize("content", [None, "", "{", '{"n": 10}'])
def test_without_its_head_a_record_is_not_built_upon(log: AuditLog, content: str | None) -> None:
    fill(log).head.unlink()
    if content is not None:
        log.head.write_text(content)
    with pytest.raises(DistillwatchError, match=r"head is missing|head cannot be read"):
        fill(log, 1)


def test_a_record_that_is_gone_is_told_by_its_head(log: AuditLog) -> None:
    fill(log).path.unlink()
    assert broken_at(log) == 1
    with pytest.raises(DistillwatchError, match=r"ends at line 0 and had 10: lines 1 to 10 were removed"):
        fill(log, 1)


def test_both_files_put_away_begin_a_new_record(log: AuditLog, tmp_path: Path) -> None:
    put(log, lines(fill(log))[:6])
    (tmp_path / "kept").mkdir()
    for file in (log.path, log.head):
        file.rename(tmp_path / "kept" / file.name)
    assert fill(log, 1).verify().lines == 2


def test_a_writer_that_died_at_the_first_line_does_no_harm(log: AuditLog) -> None:
    log.note("began")
    log.head.write_text("")
    log.note("went on")
    assert log.verify().lines == 2


def test_an_older_copy_of_both_files_needs_a_hash_from_elsewhere(log: AuditLog) -> None:
    before = [file.read_bytes() for file in (fill(log).path, log.head)]
    noted = fill(log).verify().head
    for file, content in zip((log.path, log.head), before, strict=True):
        file.write_bytes(content)
    assert log.verify().lines == 10
    with pytest.raises(AuditBroken, match=r"no line .* has the hash"):
        log.verify(head=noted)


def test_it_is_checked_while_others_write(log: AuditLog) -> None:
    fill(log)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write, args=(str(log.path), "p"))
    process.start()
    seen = {log.verify().lines}
    while process.is_alive():
        seen.add(log.verify().lines)
    process.join()
    assert log.verify().lines == 60
    assert max(seen) <= 60


def test_long_lines_are_found_again(log: AuditLog) -> None:
    for length in (10, 100_000, 70_000, 3):
        log.asked(who="kim", case=None, sql="x" * length, parameters={}, manifest=1)
    assert log.verify().lines == 4


def _write(path: str, who: str) -> None:
    log = AuditLog(path)
    for number in range(25):
        entry = log.asked(who=who, case=None, sql=f"select {number}", parameters={}, manifest=1)
        log.ended(entry, outcome="answered", rows=1, milliseconds=0.0)


def test_many_processes_write_one_chain(log: AuditLog) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(str(log.path), f"p{i}")) for i in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert [each.exitcode for each in processes] == [0, 0, 0]
    assert log.verify().lines == 150
    assert {entry.document.get("who") for entry in log} == {"p0", "p1", "p2", None}


def test_a_query_is_on_the_disk_before_it_runs(
    lake_of: Callable[[], Any], tmp_path: Path, needs_landlock: None
) -> None:
    log = AuditLog(tmp_path / "log.jsonl")
    seen: list[int] = []
    with Sandbox(lake_of().root, who="kim", case="c-1", audit=log) as session:
        run = session._run
        session._run = lambda *given, **named: (seen.append(len(lines(log))), run(*given, **named))[1]  # type: ignore[method-assign]
        answer = session.ask("select $a as a", {"a": datetime(2026, 1, 1)})
        with pytest.raises(QueryFailed):
            session.ask("selec 1", case="c-2", who="lee")
        with pytest.raises(UsageError):
            session.ask("drop view windows")
        session.playbook("data_freshness_and_gaps")
    assert seen == [1, 3, 5, 7]
    documents = [entry.document for entry in log]
    asked, ended = documents[0], documents[1]
    assert (asked["who"], asked["case"], asked["sql"], asked["manifest"]) == (
        "kim",
        "c-1",
        "select $a as a",
        2,
    )
    assert asked["parameters"] == {"a": {"datetime": "2026-01-01T00:00:00"}}
    assert answer.audit == asked["hash"] == ended["of"]
    assert (ended["outcome"], ended["rows"]) == ("answered", 1)
    assert 0 < ended["milliseconds"] < 60_000
    assert (documents[2]["who"], documents[2]["case"], documents[3]["outcome"]) == ("lee", "c-2", "failed")
    assert documents[5]["outcome"] == "refused"
    assert documents[6]["playbook"] == "data_freshness_and_gaps"
    assert log.verify().lines == 8


def test_no_record_no_query(lake_of: Callable[[], Any], tmp_path: Path, needs_landlock: None) -> None:
    (tmp_path / "file").write_text("")
    with Sandbox(lake_of().root, who="kim", audit=AuditLog(tmp_path / "file" / "log.jsonl")) as session:
        session._run = lambda *_given, **_named: pytest.fail("it ran")  # type: ignore[method-assign]
        with pytest.raises(DistillwatchError, match="--audit FILE"):
            session.ask("select 1")


def test_a_disk_that_fills_up_leaves_no_half_line(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(log)
    whole = log.path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda place, data: write(place, data[:40]))
    with pytest.raises(DistillwatchError, match=r"cannot be written \(No space left"):
        fill(log, 1)
    monkeypatch.undo()
    assert log.path.read_bytes() == whole
    assert fill(log, 1).verify().lines == 12


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_full_disk_is_no_record(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log.jsonl")
    log.path.symlink_to("/dev/full")
    with pytest.raises(DistillwatchError, match="cannot be written"):
        fill(log)
