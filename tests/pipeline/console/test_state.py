"""The state file: made from nothing, brought up from an older one, written by many, its history never rewritten."""

import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from pipeline.clock import ManualClock
from pipeline.console.state import Cases, Database, Users
from pipeline.console.state.database import APPLICATION_ID, _statements, migrations
from pipeline.errors import DistillwatchError, UsageError

CLOCK = ManualClock(datetime(2026, 1, 20, tzinfo=UTC))


def schema(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("select type, name, sql from sqlite_schema order by name").fetchall()


def raw(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma foreign_keys = on")
    return connection


def filled(path):
    database = Database(path)
    users, cases = Users(database, CLOCK), Cases(database, CLOCK)
    for name, role in (("ana", "investigator"), ("ben", "approver"), ("vera", "viewer")):
        users.add(name, role)
    return database, users, cases


def test_a_new_file_has_the_newest_state_and_is_the_owners_alone(tmp_path):
    path = tmp_path / "below" / "state.sqlite"
    Database(path)
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("pragma user_version").fetchone()[0] == len(migrations())
        assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"
        assert connection.execute("pragma application_id").fetchone()[0] == APPLICATION_ID


@pytest.mark.parametrize("version", range(1, len(migrations())))
def test_an_older_file_is_brought_up_and_keeps_what_it_holds(tmp_path, version):
    path, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    with sqlite3.connect(path) as connection:
        for _, sql in migrations()[:version]:
            connection.executescript(sql)
        connection.execute(f"pragma user_version = {version}")
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(
            "insert into users (name, role, created_at) values ('ana', 'approver', '2026-01-01T00:00:00')"
        )
    Database(path)
    Database(new)
    assert schema(path) == schema(new)
    assert Users(Database(path), CLOCK).named("ana").role == "approver"


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "state.sqlite"
    Database(path)
    before = schema(path)
    broken = [*migrations(), (len(migrations()) + 1, "create table more (a) strict; create table users (a);")]
    monkeypatch.setattr("pipeline.console.state.database.migrations", lambda: broken)
    with pytest.raises(DistillwatchError):
        Database(path)
    assert schema(path) == before


def test_a_later_file_and_another_programs_file_are_refused(tmp_path):
    later = tmp_path / "later.sqlite"
    Database(later)
    with sqlite3.connect(later) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(DistillwatchError, match="later version"):
        Database(later)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("create table theirs (a)")
    with pytest.raises(DistillwatchError, match="another program"):
        Database(foreign)
    text = tmp_path / "text.sqlite"
    text.write_text("no database at all, but long enough to be taken for one " * 50)
    with pytest.raises(DistillwatchError, match="cannot be opened"):
        Database(text)


def test_statements_are_split_inside_of_triggers_too():
    found = list(
        _statements(
            "create table a (b);\ncreate trigger t before update on a\nbegin select 1; select 2; end;\n"
        )
    )
    assert len(found) == 2


def test_those_that_start_at_once_come_one_after_the_other(tmp_path, monkeypatch):
    path, problems, inside = tmp_path / "state.sqlite", [], []
    barrier, real = threading.Barrier(8), Database._migrate

    def watched(self):
        inside.append(threading.get_ident())
        if len(inside) > 1:
            problems.append(f"{len(inside)} at once")
        real(self)
        inside.pop()

    monkeypatch.setattr(Database, "_migrate", watched)

    def begin():
        try:
            barrier.wait()
            Database(path)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    assert schema(path)


def test_writers_at_once_lose_nothing(tmp_path):
    _, _, cases = filled(tmp_path / "state.sqlite")
    number = cases.open("account", "a", "", "ana")
    problems = []

    def write(who):
        try:
            for i in range(25):
                cases.note(number, f"{who} {i}", who)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(who,)) for who in ("ana", "ben", "ana", "ben")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    events = cases.events(number)
    assert len(events) == 100
    for who in ("ana", "ben"):
        assert sorted(each["body"] for each in events if each["who"] == who) == sorted(
            f"{who} {i}" for i in range(25) for _ in range(2)
        )


def test_one_decision_wins(tmp_path):
    _, users, cases = filled(tmp_path / "state.sqlite")
    users.add("cleo", "approver")
    number = cases.propose(cases.open("account", "a", "", "ana"), verdict="attack", reason="r", who="ana")
    won, lost = [], []

    def decide(who):
        try:
            cases.decide(number, "approved", who)
            won.append(who)
        except UsageError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=decide, args=(who,)) for who in ("ben", "cleo")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(won) == 1
    assert lost == [f"proposal {number} was approved already, by {won[0]}"]


HISTORY = ("cases", "case_events", "proposals", "decisions", "publications", "user_events")


@pytest.mark.parametrize("table", HISTORY)
def test_history_is_only_ever_added_to(tmp_path, table):
    path = tmp_path / "state.sqlite"
    _, _, cases = filled(path)
    number = cases.open("account", "a", "", "ana")
    cases.note(number, "seen", "ana")
    proposal = cases.propose(number, verdict="attack", reason="r", who="ana")
    cases.decide(proposal, "approved", "ben")
    cases.published(proposal, "verdict-1")
    connection = raw(path)
    column = connection.execute(f"select * from {table}").description[0][0]
    assert connection.execute(f"select count(*) from {table}").fetchone()[0]
    for statement in (f"update {table} set {column} = {column}", f"delete from {table}"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
            connection.execute(statement)


@pytest.mark.parametrize("who", ["ana", "vera", "cleo"])
def test_the_file_itself_holds_four_eyes(tmp_path, who):
    """Ana proposed; vera is a viewer, cleo an investigator: none of them approves, whatever the program does."""
    path = tmp_path / "state.sqlite"
    _, users, cases = filled(path)
    users.add("cleo", "investigator")
    users.set_role("ana", "approver")
    proposal = cases.propose(cases.open("account", "a", "", "ana"), verdict="attack", reason="r", who="ana")
    connection = raw(path)
    with pytest.raises(sqlite3.IntegrityError, match="approver who did not propose"):
        connection.execute(
            "insert into decisions (proposal_id, outcome, decided_by, decided_at) values (?, 'approved', ?, 't')",
            (proposal, who),
        )
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("insert into publications values (?, 'verdict-1', 't')", (proposal,))
    cases.decide(proposal, "rejected", "ben", reason="no")
    with pytest.raises(sqlite3.IntegrityError, match="only what was approved"):
        connection.execute("insert into publications values (?, 'verdict-1', 't')", (proposal,))


def test_the_file_itself_holds_that_two_undo_what_two_agreed_on(tmp_path):
    path = tmp_path / "state.sqlite"
    _, users, cases = filled(path)
    users.set_role("ana", "approver")
    number = cases.open("account", "a", "", "ana")
    waits = cases.propose(number, verdict="benign", reason="r", who="ana")
    at_once = cases.propose(number, verdict="benign", reason="r", who="ana", decided=True)
    assert (cases.proposal(waits).needs_two, cases.proposal(at_once).needs_two) == (True, False)
    for who in ("ana", "vera"):
        with pytest.raises(sqlite3.IntegrityError, match="approver who did not propose it"):
            raw(path).execute(
                "insert into decisions (proposal_id, outcome, decided_by, decided_at) values (?, 'approved', ?, 't')",
                (waits, who),
            )
    cases.decide(waits, "approved", "ben")
    assert cases.proposal(waits).decided_by == "ben"


def test_notes_and_titles_have_bounds(tmp_path):
    _, _, cases = filled(tmp_path / "state.sqlite")
    number = cases.open("account", "a", "", "ana")
    for body in ("", "  \n", "x" * 20_001):
        with pytest.raises(UsageError):
            cases.note(number, body, "ana")
    with pytest.raises(UsageError, match="title"):
        cases.open("account", "b", "t" * 201, "ana")
    with pytest.raises(UsageError, match="no case 99"):
        cases.note(99, "seen", "ana")


def test_one_open_case_a_subject(tmp_path):
    _, _, cases = filled(tmp_path / "state.sqlite")
    first = cases.open("account", "a", "", "ana")
    assert cases.open("account", "a", "", "ben") == first
    assert cases.open("cluster", "a", "", "ben") != first
    cases.close(first, "nothing there", "ana")
    second = cases.open("account", "a", "", "ben")
    assert second != first
    cases.reopen(first, "after all", "ana")
    assert [bool(each["is_open"]) for each in cases.every(subject=("account", "a"))] == [True, True]


@pytest.mark.parametrize("name", ["", " ana", "a b", "<script>", "a\n", "-x", "x" * 121])
def test_user_names_are_plain(tmp_path, name):
    users = Users(Database(tmp_path / "state.sqlite"), CLOCK)
    with pytest.raises(UsageError, match="user name"):
        users.add(name, "viewer")


def test_roles_are_known_ones(tmp_path):
    _, users, _ = filled(tmp_path / "state.sqlite")
    with pytest.raises(UsageError, match="no role"):
        users.add("dora", "admin")
    with pytest.raises(UsageError, match="no user"):
        users.set_role("nobody", "viewer")
