"""What stands as of a time: of any set of rows, in any order, as a plain reference finds it; and that no row is lost."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.clock import ManualClock
from pipeline.errors import LakeError, UsageError
from pipeline.lake import Lake
from pipeline.lake.sweep import sweep
from pipeline.verdicts import (
    Standing,
    Verdict,
    read_verdicts,
    record,
    stand,
    standing,
    standing_then,
    states,
    verdict_table,
    withdrawal,
)
from pipeline.warehouse import connect

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.parameters import Parameters

T0 = datetime(2026, 1, 10)
HOUR = timedelta(hours=1)


def said(
    subject: str, verdict: str, hours: int = 0, *, expires: datetime | None = None, **more: object
) -> Verdict:
    kind = "cluster" if subject.startswith("c") else "account"
    values = {"reason": "looked at it", "owner": "kim", **more}
    return Verdict(kind, subject, verdict, decided_at=T0 + hours * HOUR, expires_at=expires, **values)  # type: ignore[arg-type]


def taken_back(verdict: Verdict, hours: int = 0) -> Verdict:
    return said(verdict.subject_id, "withdrawn", hours, withdraws=verdict.verdict_id)


@pytest.fixture
def lake(tmp_path: Path, small_parameters: Parameters) -> Lake:
    return Lake.create(
        tmp_path / "lake", parameters=small_parameters, clock=ManualClock(datetime(2026, 2, 1, tzinfo=UTC))
    )


def reference(rows: list[Verdict], as_of: datetime | None) -> dict[str, str]:
    """Account to the id of the verdict that holds for it, slowly."""
    accounts = {each.subject_id for each in rows if each.subject_kind == "account"}
    accounts |= {member for each in rows for member in each.members}

    def word(kind: str, name: str) -> Verdict | None:
        best: Verdict | None = None
        for row in rows:
            if (row.subject_kind, row.subject_id) != (kind, name) or row.verdict == "withdrawn":
                continue
            if any(other.withdraws == row.verdict_id for other in rows):
                continue
            if (
                best is None
                or row.decided_at > best.decided_at
                or (row.decided_at == best.decided_at and row.verdict_id < best.verdict_id)
            ):
                best = row
        if best is not None and best.expires_at and as_of and not as_of < best.expires_at:
            return None
        return best

    found = {}
    for account in accounts:
        own = word("account", account)
        if own is not None:
            found[account] = own.verdict_id
            continue
        via = [
            word("cluster", name)
            for name in {row.subject_id for row in rows if row.subject_kind == "cluster"}
        ]
        holding = [each for each in via if each is not None and account in each.members]
        if holding:
            newest = max(each.decided_at for each in holding)
            found[account] = min(each.verdict_id for each in holding if each.decided_at == newest)
    return found


def random_rows(rng: np.random.Generator) -> list[Verdict]:
    rows: list[Verdict] = []
    for _ in range(rng.integers(1, 14)):
        if rows and rng.random() < 0.3:
            back = rows[rng.integers(len(rows))]
            if back.verdict != "withdrawn":
                rows.append(taken_back(back, int(rng.integers(6))))
                continue
        subject = str(rng.choice(["a1", "a2", "a3", "c1", "c2"]))
        verdict = str(rng.choice(["attack", "benign", "allowed", "undecided"]))
        expires = T0 + int(rng.integers(1, 9)) * HOUR if verdict == "allowed" else None
        members = (
            tuple(sorted({str(m) for m in rng.choice(["a1", "a2", "a4"], 2)})) if subject[0] == "c" else ()
        )
        rows.append(said(subject, verdict, int(rng.integers(6)), expires=expires, members=members))
    return rows


def test_what_stands_is_what_the_plain_reference_finds_and_what_sql_says(lake: Lake) -> None:
    rng = np.random.default_rng(5)
    statuses = set()
    for trial in range(300):
        rows = random_rows(rng)
        as_of = None if rng.random() < 0.1 else T0 + int(rng.integers(0, 10)) * HOUR
        found = stand(rows, as_of)
        held = {name: each.verdict_id for name, each in found.accounts.items()}
        assert held == reference(rows, as_of), trial
        statuses |= set(states(rows, as_of).values())
    assert statuses == {"stands", "overruled", "expired", "withdrawn", "withdrawal"}
    record(lake, rows)
    asked = connect(lake.root).execute(
        "select subject_id, verdict_id from standing_verdicts where subject_kind = 'account'"
    )
    # Nothing was scored: nothing has expired.
    assert dict(asked.fetchall()) == reference(rows, None) != {}


def test_the_order_and_the_number_of_times_that_rows_are_added_say_nothing() -> None:
    rng = np.random.default_rng(6)
    for _ in range(100):
        rows = random_rows(rng)
        mixed = [rows[i] for i in rng.permutation(len(rows))] + rows[:2]
        one, other = stand(rows, T0 + 4 * HOUR), stand(mixed, T0 + 4 * HOUR)
        assert (one.accounts, one.clusters, one.digest) == (other.accounts, other.clusters, other.digest)


def test_two_orders_of_adding_to_a_lake_give_the_same_standing(
    tmp_path: Path, small_parameters: Parameters
) -> None:
    rows = [said("a1", "attack", 1), said("a1", "benign", 2), said("a2", "attack", 3)]
    found = []
    for name, order in (("one", rows), ("other", rows[::-1])):
        lake = Lake.create(tmp_path / name, parameters=small_parameters)
        for each in order:
            record(lake, [each])
        found.append(standing(lake.snapshot(), T0))
    assert found[0] == found[1]
    assert found[0].digest == found[1].digest is not None
    assert list(found[0].benign) == ["a1"]


def test_an_allowance_ends_at_its_expiry_and_not_before() -> None:
    rows = [said("a", "attack", 0), said("a", "allowed", 1, expires=T0 + 5 * HOUR)]
    just = timedelta(microseconds=1)
    assert list(stand(rows, T0 + 5 * HOUR - just).allowed) == ["a"]
    assert stand(rows, T0 + 5 * HOUR).accounts == {}
    assert states(rows, T0 + 5 * HOUR) == {rows[0].verdict_id: "overruled", rows[1].verdict_id: "expired"}
    assert list(stand(rows, None).allowed) == ["a"]


def test_a_withdrawn_verdict_counts_as_never_said(lake: Lake) -> None:
    attack, benign = said("a", "attack", 0), said("a", "benign", 1)
    record(lake, [attack, benign])
    back = withdrawal(
        lake.snapshot(), benign.verdict_id, reason="mixed up", owner="lee", decided_at=T0 + 9 * HOUR
    )
    record(lake, [back])
    assert list(standing(lake.snapshot(), T0).attack) == ["a"]
    # Nothing is deleted: all three are there to be read.
    assert {each.verdict_id for each in read_verdicts(lake.snapshot())} == {
        attack.verdict_id,
        benign.verdict_id,
        back.verdict_id,
    }
    for name, words in (
        (benign.verdict_id, "withdrawn already, by lee"),
        (back.verdict_id, "itself a withdrawal"),
        ("verdict-x", "no verdict verdict-x .* list --all"),
    ):
        with pytest.raises(UsageError, match=words):
            withdrawal(lake.snapshot(), name, reason="r", owner="o", decided_at=T0)


def test_rows_masks_counts_and_digest_tell_who_is_held_by_what() -> None:
    rows = [
        said("a", "allowed", expires=T0 + HOUR),
        said("c1", "attack", members=("b", "d")),
        said("d", "benign"),
        said("e", "undecided"),
    ]
    found = stand(rows, T0)
    names = ["a", "b", "c1", "d", "e", "f"]
    assert found.rows(names, "allowed").tolist() == [True, False, False, False, False, False]
    assert found.rows(names, "attack").tolist() == [False, True, False, False, False, False]
    ids = [each.verdict_id for each in rows]
    assert found.verdict_ids(names) == [ids[0], ids[1], None, ids[2], ids[3], None]
    assert found.counts() == {"attack": 1, "benign": 1, "allowed": 1, "undecided": 1}
    assert found.digest != stand(rows[:3], T0).digest
    assert Standing().digest is None
    assert stand(rows, T0 + HOUR).digest != found.digest, "an expiry is a change"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "guilty"}, "'guilty' is none of attack, benign"),
        ({"reason": " "}, "no reason"),
        ({"owner": ""}, "no owner"),
        ({"verdict": "allowed"}, "`allowed` needs a date"),
        ({"expires_at": T0}, "only `allowed` expires"),
        ({"withdraws": "verdict-1"}, "nothing else, names what it withdraws"),
        ({"verdict": "withdrawn"}, "names what it withdraws"),
        ({"subject_id": ""}, "names no account"),
        ({"subject_kind": "person"}, "'person' is neither"),
    ],
)
def test_what_contradicts_itself_is_no_verdict(change: dict[str, object], words: str) -> None:
    values = {
        "subject_kind": "account",
        "subject_id": "a",
        "verdict": "attack",
        "reason": "r",
        "owner": "o",
        "decided_at": T0,
    }
    Verdict(**values)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=words):
        Verdict(**{**values, **change})  # type: ignore[arg-type]


def test_a_verdict_that_was_changed_on_disk_is_refused(lake: Lake) -> None:
    table = verdict_table([said("a", "attack")])
    changed = table.set_column(
        table.schema.get_field_index("verdict"), table.schema.field("verdict"), [["benign"]]
    )
    file = lake.put_table("verdicts", changed)
    lake.publish(lambda manifest: manifest.with_tables("verdicts", [file]))
    with pytest.raises(LakeError, match=r"verdict-\w+ was changed"):
        standing(lake.snapshot(), T0)


def test_every_part_of_a_verdict_is_in_its_id() -> None:
    base = said("c1", "allowed", expires=T0 + HOUR)
    changes = {
        "subject_kind": "account", "subject_id": "c2", "reason": "x", "owner": "x", "decided_at": T0 + HOUR,
        "expires_at": T0 + 2 * HOUR, "alert_id": "x", "case_id": "x", "members": ("a",),
    }  # fmt: skip
    from dataclasses import replace

    ids = {base.verdict_id, *(replace(base, **{name: value}).verdict_id for name, value in changes.items())}  # type: ignore[arg-type]
    assert len(ids) == len(changes) + 1
    assert Verdict.from_row(verdict_table([base]).to_pylist()[0], "here") == base


def test_verdicts_added_at_the_same_moment_all_survive(lake: Lake) -> None:
    rows = [said(f"a{number}", "attack") for number in range(8)]
    ready = threading.Barrier(len(rows))
    failures: list[BaseException] = []

    def add(verdict: Verdict) -> None:
        mine = Lake.open(lake.root)
        try:
            ready.wait(30)
            record(mine, [verdict])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(each,)) for each in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(standing(lake.snapshot(), T0).attack) == {each.subject_id for each in rows}


def test_what_stood_when_an_alert_was_raised_is_found_again(lake: Lake) -> None:
    record(lake, [said("a", "attack"), said("b", "benign")])
    then, number = standing(lake.snapshot(), T0), lake.manifest().number
    record(lake, [said("a", "benign", 1)])
    sweep(lake, 0, ManualClock(datetime(2040, 1, 1, tzinfo=UTC)))
    now = standing(lake.snapshot(), T0)
    assert standing_then(lake, number, then.digest, T0) == then != now
    assert standing_then(lake, lake.manifest().number, now.digest, T0) == now
    assert standing_then(lake, number, None, T0) == Standing(T0)
    with pytest.raises(LakeError, match=f"of manifest {number} have digest {then.digest}, not {now.digest}"):
        standing_then(lake, number, now.digest, T0)
    for path in lake.snapshot().table_files("verdicts"):
        path.unlink()
    with pytest.raises(LakeError, match=r"is gone, .* restore it"):
        standing_then(lake, number, then.digest, T0)


def test_nothing_to_add_publishes_nothing(lake: Lake) -> None:
    before = lake.manifest()
    assert record(lake, []) == before
