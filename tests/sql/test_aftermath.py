"""Playbooks about what comes after alerts: verdicts, indicators, replacements, a second scoring, data that break off.

The planted week goes on for two days: its last two, moved on, with other prompts. Nothing is simulated anew.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for
from pipeline.clock import ManualClock
from pipeline.evaluate.lakes import ingest_log
from pipeline.indicators import ExportSettings, RecipientKey, export_bundle, import_bundle
from pipeline.lake import Lake
from pipeline.lake.losses import declare_lost
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_json
from pipeline.scoring import score_lake
from pipeline.verdicts import Verdict, record
from pipeline.warehouse import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.sql.conftest import Planted

LAST_DAYS = timedelta(days=2)
DECIDED = datetime(2026, 2, 1, 9)
SECOND_SCORING = datetime(2026, 2, 2, 23)
LATER = datetime(2026, 2, 3, tzinfo=UTC)
# At noon, where some 60 records an hour are usual.
OUTAGE = [datetime(2026, 2, 1, hour) for hour in (11, 12, 13)]
SUCCESSOR = "acct_successor"
LIVE_ALERT = "alert-live"
LIVE, LIVE_ID = "llm-api-logs", "id-of-llm-api-logs"
# Messages in a row that a broken producer sends: what they are, and how many.
BROKEN = {"not_json": 5, "missing_field": 3, "bad_time": 1}
GOOD = 20
LOST = (GOOD + sum(BROKEN.values()), GOOD + sum(BROKEN.values()) + 9)
LATE = 4
"""Messages after the loss that no roll-up has summed up yet."""


@dataclass(frozen=True)
class Decided:
    """Who was decided about, of the alerts of the first scoring."""

    cluster: str
    members: tuple[str, ...]
    # One that an alerted cluster names, and that was found not to belong to it.
    bystander: str
    # Accounts with an alert, the most certain first.
    alerted: tuple[str, ...]

    @property
    def attack(self) -> str:
        """Called an attack."""
        return self.alerted[0]

    @property
    def withdrawn(self) -> str:
        """Called an attack, which was taken back."""
        return self.alerted[1]

    @property
    def allowed(self) -> str:
        """Allowed for a month."""
        return self.alerted[2]

    @property
    def expired(self) -> str:
        """Allowed for an hour, long before the second scoring."""
        return self.alerted[3]

    @property
    def benign(self) -> str:
        """Called benign."""
        return self.alerted[4]

    def verdicts(self) -> list[Verdict]:
        """In the order in which they were made, an hour between two."""

        def on(subject: str, verdict: str, hours: int, expires_at: datetime | None = None) -> Verdict:
            members = self.members if subject == self.cluster else ()
            kind = "cluster" if members else "account"
            return Verdict(
                kind,
                subject,
                verdict,
                f"{verdict}, it was found",
                "investigator",
                DECIDED + timedelta(hours=hours),
                expires_at=expires_at,
                members=members,
            )

        attack = on(self.withdrawn, "attack", 2)
        return [
            on(self.cluster, "attack", 0),
            on(self.attack, "attack", 1),
            attack,
            on(self.allowed, "allowed", 3, datetime(2026, 3, 1)),
            on(self.expired, "allowed", 4, DECIDED + timedelta(hours=5)),
            on(self.benign, "benign", 6),
            on(self.bystander, "benign", 7),
            Verdict(
                "account",
                self.withdrawn,
                "withdrawn",
                "another account was meant",
                "approver",
                DECIDED + timedelta(hours=8),
                withdraws=attack.verdict_id,
            ),
        ]


def decided(planted: Planted) -> Decided:
    """Chosen by what was alerted on and by the truth about it."""
    (cluster,) = planted.ask("case_queue", decision="alert", subject_kind="cluster")
    ((members,),) = planted.session.execute(
        "select members from alerts where subject_id = $id", {"id": cluster["subject_id"]}
    ).fetchall()
    accounts = planted.ask("case_queue", decision="alert", subject_kind="account")
    alerted = tuple(row["subject_id"] for row in accounts)
    # Honest if one is: what stands is what somebody decided.
    bystander = min(set(members) - set(alerted), key=lambda account: (planted.attacks(account), account))
    return Decided(cluster["subject_id"], tuple(members), bystander, alerted)


def closed(planted: Planted) -> str:
    """The member of the hydra that was busiest in the last days."""
    return _busiest(planted, planted.of("hydra"))


def left(planted: Planted) -> str:
    """Somebody honest who was as busy then, and does not come back."""
    return _busiest(planted, planted.of("coding_agent"))


def _busiest(planted: Planted, accounts: Sequence[str]) -> str:
    log = pq.read_table(planted.path.parent / "log.parquet", columns=["account_id", "event_time"])
    late = log.filter(pc.greater_equal(log["event_time"], _from(log)))
    counts = Counter(late["account_id"].to_pylist())
    return max(accounts, key=lambda account: (counts[account], account))


def _from(log: pa.Table) -> pa.Scalar:
    return pa.scalar(pc.max(log["event_time"]).as_py() - LAST_DAYS, pa.timestamp("us"))


def more_days(planted: Planted) -> pa.Table:
    """The last days again, two days later: without the outage, with a successor for one, and without another."""
    log = pq.read_table(planted.path.parent / "log.parquet")
    log = log.filter(pc.greater_equal(log["event_time"], _from(log)))
    times = pc.add(log["event_time"], pa.scalar(LAST_DAYS, pa.duration("us")))
    accounts = np.array(log["account_id"].to_pylist(), object)
    accounts[accounts == closed(planted)] = SUCCESSOR
    gone = left(planted)
    hours = pc.floor_temporal(times, unit="hour").to_pylist()
    keep = [
        account != gone and hour not in OUTAGE for account, hour in zip(accounts.tolist(), hours, strict=True)
    ]
    changed = {
        "account_id": pa.array(accounts.tolist(), pa.string()),
        "event_time": times,
        "request_id": pc.binary_join_element_wise(log["request_id"], "later", "-"),
        "prompt_hash": pc.bit_wise_xor(log["prompt_hash"], pa.scalar(1, pa.uint64())),
    }
    for name, column in changed.items():
        log = log.set_column(log.schema.get_field_index(name), log.schema.field(name), column)
    return log.filter(pa.array(keep))


def make_aftermath(folder: Path, planted: Planted) -> None:
    """A copy of the planted lake, and all of that."""
    shutil.copytree(planted.path, folder / "lake")
    clock = ManualClock(LATER)
    days = more_days(planted)
    pq.write_table(days, folder / "later.parquet")
    lake = ingest_log(folder / "later.parquet", folder / "lake", clock)
    _land_messages(lake, days.slice(days.num_rows - GOOD - LATE), clock)
    record(lake, decided(planted).verdicts())
    _raise_alert(lake, planted)
    score_lake(lake, lake.snapshot(), engine_for(lake, "numpy"), clock)


def _raise_alert(lake: Lake, planted: Planted) -> None:
    """What the worker does: a live alert on a member of the cluster, between the scorings."""
    alerts = planted.stored("alerts")
    (alert,) = (each for each in alerts if each["subject_id"] == decided(planted).attack)
    member = closed(planted)
    times = {name: str(alert[name]) for name in ("first_seen", "last_seen")}
    live = {"alert_id": LIVE_ALERT, "subject_id": member, "members": [member], "as_of": str(DECIDED)}
    for name in ("evidence", "provenance"):
        live[name] = json.loads(alert[name])
    live["provenance"]["look"] = 1
    assert lake.store.put_bytes(json.dumps({**alert, **times, **live}).encode(), f"alerts/{LIVE_ALERT}.json")


def alerts_of(lake: Planted) -> list[dict[str, Any]]:
    """Those of the scorings and live ones, with their evidence read."""
    stored = [{**each, "evidence": json.loads(each["evidence"])} for each in lake.stored("alerts")]
    for file in sorted((lake.path / "alerts").glob("*.json")):
        live = json.loads(file.read_bytes())
        stored.append({**live, "as_of": datetime.fromisoformat(live["as_of"]), "is_live": True})
    return stored


def _land_messages(lake: Lake, records: pa.Table, clock: ManualClock) -> None:
    """A live topic: good messages and broken ones, a range that the log lost, and a few that wait for their roll-up."""
    names = [f"live-{place}" for place in range(records.num_rows)]
    records = records.set_column(records.schema.get_field_index("request_id"), "request_id", pa.array(names))
    good = list(encode_json(records))

    def without(name: str, place: int, value: object = None) -> bytes:
        message = json.loads(good[place])
        del message[name]
        return json.dumps({**message, name: value} if value else message).encode()

    broken = {
        "not_json": [good[place][:-9] for place in range(BROKEN["not_json"])],
        "missing_field": [without("account_id", place) for place in range(BROKEN["missing_field"])],
        "bad_time": [without("event_time", place, "yesterday") for place in range(BROKEN["bad_time"])],
    }
    decoder = RecordDecoder(lake.config.space)
    lake.begin(LIVE_ID, 0, topic=LIVE, start=0, cluster_id="cluster-1", clock=clock)
    lander = PartitionLander(
        lake,
        engine_for(lake, "numpy"),
        topic=LIVE,
        topic_id=LIVE_ID,
        partition=0,
        cluster_id="cluster-1",
        settings=LandingSettings(),
        clock=clock,
    )

    def land(messages: list[bytes]) -> None:
        first = lander.next_offset
        offsets = np.arange(first, first + len(messages))
        lander.accept(
            decoder.decode_messages(messages, topic_id=LIVE_ID, topic=LIVE, partition=0, offsets=offsets),
            first,
            first + len(messages),
        )
        lander.land()

    land(good[:GOOD] + [message for messages in broken.values() for message in messages])
    lander.roll_up()
    declare_lost(lake, LIVE_ID, 0, LOST[1] + 1, by="operator", why="retention")
    lander.reload()
    land(good[GOOD:])


@pytest.fixture(scope="session")
def aftermath(planted: Planted, made: Any) -> Planted:
    """Made as seldom as the planted lake."""
    folder = made("aftermath", lambda folder: make_aftermath(folder, planted))
    successor = replace(planted.labels[closed(planted)], account_id=SUCCESSOR)
    return replace(
        planted,
        path=folder / "lake",
        labels={**planted.labels, SUCCESSOR: successor},
        session=connect(folder / "lake"),
    )


@pytest.fixture(scope="module")
def decisions(planted: Planted) -> Decided:
    return decided(planted)


def standing(decisions: Decided, subject: str) -> Verdict | None:
    """What holds for an account or cluster as of the second scoring: its own word before its cluster's."""
    verdicts = decisions.verdicts()
    withdrawn = {each.withdraws for each in verdicts}
    for own in (True, False):
        for each in reversed(verdicts):
            about = each.subject_id == subject if own else subject in each.members
            if not about or each.verdict == "withdrawn" or each.verdict_id in withdrawn:
                continue
            return each if each.expires_at is None or each.expires_at > SECOND_SCORING else None
    return None


# Whether the data are there


def test_an_outage_is_found_and_usual_hours_are_not(
    planted: Planted, peaceful: Planted, aftermath: Planted
) -> None:
    def inside(lake: Planted) -> dict[datetime, dict[str, Any]]:
        """Rows but for the first two and the last two hours of what landed, where people arrive and leave."""
        hours = sorted({row["event_time"].replace(minute=0, second=0, microsecond=0) for row in lake.landed})
        rows = {row["window_start"]: row for row in lake.ask("silent_hours")}
        return {hour: row for hour, row in rows.items() if hours[2] <= hour <= hours[-3]}

    found = inside(aftermath)
    assert list(found) == OUTAGE
    counts = Counter(row["event_time"].replace(minute=0, second=0, microsecond=0) for row in aftermath.landed)
    for hour, row in found.items():
        around = [counts[hour + timedelta(hours=apart)] for apart in range(-24, 25)]
        assert (row["records"], row["accounts"], row["share"]) == (0, 0, 0)
        # What the live topic holds and no roll-up has summed up lies at the very end.
        assert row["usual_records"] == np.median(around)
    # Quiet: no other hour, and none of a lake where nothing broke off.
    assert not inside(planted)
    assert not inside(peaceful)


def test_what_is_lost_late_or_rejected_comes_first(
    planted: Planted, peaceful: Planted, aftermath: Planted
) -> None:
    first, *others = aftermath.ask("data_freshness_and_gaps")
    assert (first["topic"], first["is_incomplete"], first["lost_ranges"]) == (LIVE, True, 1)
    assert (first["records"], first["records_behind"]) == (GOOD + LATE, LATE)
    assert (first["rejected"], first["last_offset"]) == (sum(BROKEN.values()), LOST[1] + LATE)
    # Quiet: files that landed whole.
    for lake, rows in (
        (aftermath, others),
        *((lake, lake.ask("data_freshness_and_gaps")) for lake in (planted, peaceful)),
    ):
        newest = max(row["event_time"] for row in lake.landed)
        for row in rows:
            theirs = [each for each in lake.landed if each["topic_id"] == row["topic_id"]]
            assert row["records"] == len(theirs) > 0
            assert row["newest_event_time"] == max(each["event_time"] for each in theirs)
            age = (newest - row["newest_event_time"]).total_seconds() / 3600
            assert row["event_hours_old"] == pytest.approx(age)
            nothing = ("rejected", "forgotten", "lost_ranges", "offsets_missing", "records_behind")
            assert [row[name] for name in nothing] == [0] * 5
            assert not row["is_incomplete"]
    chains = {row["topic"]: row for row in aftermath.ask("case_chains")}
    assert (chains[LIVE]["head"], chains[LIVE]["lost"]) == (LOST[1] + 1 + LATE, 1)
    for row in (*planted.ask("case_chains"), chains["log.parquet"], chains["later.parquet"]):
        theirs = [each for each in aftermath.landed if each["topic_id"] == row["topic_id"]]
        assert (row["head"], row["lost"]) == (max(each["offset"] for each in theirs) + 1, 0)
        assert row["records"] == len(theirs)


def test_a_broken_producer_is_told_reason_by_reason(
    planted: Planted, peaceful: Planted, aftermath: Planted
) -> None:
    rows = aftermath.ask("dead_letters_by_reason")
    assert {row["reason"]: row["dead_letters"] for row in rows} == BROKEN
    assert [row["dead_letters"] for row in rows] == sorted(BROKEN.values(), reverse=True)
    first = GOOD
    for row in rows:
        assert (row["topic"], row["first_partition"], row["first_offset"]) == (LIVE, 0, first)
        first += row["dead_letters"]
        assert row["highest_offset"] == first - 1
    assert aftermath.ask("dead_letters_by_reason", topic=LIVE) == rows
    # Quiet: the files.
    assert not aftermath.ask("dead_letters_by_reason", topic="later.parquet")
    assert not planted.ask("dead_letters_by_reason")
    assert not peaceful.ask("dead_letters_by_reason")


# Who took over


def test_the_successor_of_a_closed_account_is_found(
    planted: Planted, peaceful: Planted, aftermath: Planted
) -> None:
    gone = closed(planted)
    first = aftermath.ask("replacement_accounts", account_id=gone)[0]
    assert first["account_id"] == SUCCESSOR
    mine, theirs = aftermath.records_of(gone), aftermath.records_of(SUCCESSOR)
    assert first["records"] == len(theirs)
    assert first["began_at"] == theirs[0]["event_time"]
    hours = (theirs[0]["event_time"] - mine[-1]["event_time"]).total_seconds() / 3600
    assert first["hours_after"] == pytest.approx(hours)
    shared = [
        len({row[name] for row in mine} & {row[name] for row in theirs} - {None})
        for name in (
            "payment_id",
            "client_network",
            "organization_id",
            "template_hash",
            "system_prompt_hash",
        )
    ]
    kinds = ("payments", "networks", "organizations", "templates", "system_prompts")
    assert [first[f"shared_{kind}"] for kind in kinds] == shared
    assert first["kinds_shared"] == sum(number > 0 for number in shared) >= 3
    # Quiet: nobody takes over from somebody honest who left; where nobody attacks, hardly anybody seems to.
    assert not aftermath.ask("replacement_accounts", account_id=left(planted))
    last = {row["account_id"]: row["event_time"] for row in peaceful.landed}
    stopped = sorted(account for account, at in last.items() if at < max(last.values()) - timedelta(days=1))
    asked = [peaceful.ask("replacement_accounts", account_id=account) for account in stopped[::5]]
    assert len(asked) > 20
    assert np.mean([len(rows) for rows in asked]) < 1
    assert np.median([len(rows) for rows in asked]) == 0
    # Who has so much in common is a colleague.
    assert all(row["shared_organizations"] for rows in asked for row in rows if row["kinds_shared"] >= 3)


# What people decided


def test_the_allow_list_says_what_stands(planted: Planted, aftermath: Planted, decisions: Decided) -> None:
    rows = aftermath.ask("allow_list")
    assert [(row["subject_id"], row["is_standing"]) for row in rows] == [
        (decisions.allowed, True),
        (decisions.expired, False),
    ]
    scores = {row["account_id"]: row for row in aftermath.stored("account_scores")}
    for row in rows:
        (verdict,) = (each for each in decisions.verdicts() if each.verdict_id == row["verdict_id"])
        assert (row["expires_at"], row["owner"]) == (verdict.expires_at, verdict.owner)
        score = scores[row["subject_id"]]
        assert (row["decision"], row["score"]) == (score["decision"], score["score"])
    assert rows[0]["decision"] == "allowed"
    # Quiet: whom nobody allowed, though people decided about them.
    assert not planted.ask("allow_list")


def test_the_history_of_verdicts_is_theirs(planted: Planted, aftermath: Planted, decisions: Decided) -> None:
    withdrawn = {each.withdraws for each in decisions.verdicts()}
    asked = (decisions.cluster, *decisions.members, *decisions.alerted)
    told = 0
    for subject in asked:
        rows = aftermath.ask("verdict_history", subject_id=subject)
        holds = standing(decisions, subject)
        expected = [
            (
                each.verdict_id,
                each.verdict,
                each.subject_id != subject,
                each.verdict_id in withdrawn,
                each == holds,
            )
            for each in reversed(decisions.verdicts())
            if subject == each.subject_id or subject in each.members
        ]
        names = ("verdict_id", "verdict", "is_via_cluster", "is_withdrawn", "is_standing")
        assert [tuple(row[name] for name in names) for row in rows] == expected
        told += len(rows)
    assert told == len(decisions.verdicts()) + len(decisions.members)
    # Quiet: nobody decided about the others.
    assert not aftermath.ask("verdict_history", subject_id=left(planted))


def test_overturned_alerts_are_those_of_the_benign_and_the_allowed(
    planted: Planted, aftermath: Planted, decisions: Decided
) -> None:
    rows = aftermath.ask("overturned_alerts")
    overturned = {decisions.benign, decisions.allowed}
    alerts = {
        each["alert_id"]: each
        for each in aftermath.stored("alerts")
        if (holds := standing(decisions, each["subject_id"])) and holds.verdict in {"benign", "allowed"}
    }
    assert {each["subject_id"] for each in alerts.values()} == overturned
    assert {row["alert_id"] for row in rows} == set(alerts)
    for row in rows:
        verdict = standing(decisions, row["subject_id"])
        assert verdict is not None
        assert (row["verdict"], row["via_cluster"]) == (verdict.verdict, None)
        hours = (verdict.decided_at - alerts[row["alert_id"]]["as_of"]).total_seconds() / 3600
        assert row["hours_to_verdict"] == pytest.approx(hours)
    assert aftermath.ask("overturned_alerts", since=SECOND_SCORING) == [
        row for row in rows if row["as_of"] >= SECOND_SCORING
    ]
    # Quiet: alerts that nobody overturned.
    assert not planted.ask("overturned_alerts")


# Indicators


def exported(lake: Planted, accounts: set[str]) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    """Account, kind and value to records, first and last seen, and how many others use the value."""
    named = {"network": "client_network", "payment": "payment_id", "user agent": "user_agent"}
    users: dict[tuple[str, str], set[str]] = {}
    times: dict[tuple[str, str, str], list[datetime]] = {}
    for row in lake.landed:
        facts = {"account": row["account_id"], **{kind: row[name] for kind, name in named.items()}}
        for kind, value in facts.items():
            if value is not None:
                users.setdefault((kind, value), set()).add(row["account_id"])
                times.setdefault((row["account_id"], kind, value), []).append(row["event_time"])
    return {
        (account, kind, value): (len(seen), min(seen), max(seen), len(users[kind, value] - accounts))
        for (account, kind, value), seen in times.items()
        if account in accounts
    }


NAMES = ("records", "first_seen", "last_seen", "accounts_elsewhere")


def test_identifiers_of_attackers_leave_the_house_and_no_others(
    planted: Planted, aftermath: Planted, decisions: Decided
) -> None:
    def told(lake: Planted, **given: object) -> dict[tuple[str, str, str], tuple[Any, ...]]:
        return {
            (row["account_id"], row["kind"], row["value"]): tuple(row[name] for name in NAMES)
            for row in lake.ask("identifiers_to_export", **given)
        }

    attackers = {decisions.attack, *decisions.members} - {decisions.bystander}
    assert told(aftermath) == exported(aftermath, attackers)
    alerted = {member for alert in aftermath.stored("alerts") for member in alert["members"]}
    undecided = {
        account for account in alerted if standing(decisions, account) is None and account not in attackers
    }
    assert len(undecided) >= 3
    assert told(aftermath, also_alerts=True) == exported(aftermath, attackers | undecided)
    # Quiet: while nobody has decided, nobody's leave, and those of alerts only when asked for.
    assert not told(planted)
    assert told(planted, also_alerts=True) == exported(
        planted, {member for alert in planted.stored("alerts") for member in alert["members"]}
    )


def test_a_partner_finds_the_exported_accounts_by_their_marks(
    planted: Planted, peaceful: Planted, aftermath: Planted, decisions: Decided, tmp_path: Path
) -> None:
    key = RecipientKey(b"shared with one partner, 32 bytes")
    bundle = export_bundle(aftermath.ask("identifiers_to_export"), key, ExportSettings("us"))

    def named(lake: Planted, folder: Path) -> list[dict[str, Any]]:
        """Of a copy of the lake, into which the bundle was imported."""
        shutil.copytree(lake.path, folder)
        rows = lake.ask("identifiers_in_use")
        import_bundle(Lake.open(folder), bundle.encode(), key, rows, who="partner", now=LATER)
        return replace(lake, path=folder, session=connect(folder)).ask("accounts_named_by_others")

    rows = named(planted, tmp_path / "planted")
    attackers = {decisions.attack, *decisions.members} - {decisions.bystander}
    assert {row["account_id"] for row in rows} == attackers
    counts = Counter(row["account_id"] for row in planted.landed)
    assert all(row["records"] == counts[row["account_id"]] for row in rows)
    # What somebody else uses too was not exported.
    marked = {
        (account, kind)
        for (account, kind, _), (*_, elsewhere) in exported(aftermath, attackers).items()
        if elsewhere == 0
    }
    assert {(row["account_id"], row["kind"]) for row in rows} <= marked
    # Quiet: in a lake without these operators a few share a network with them, and nothing that is more certain.
    elsewhere = named(peaceful, tmp_path / "peaceful")
    assert {row["kind"] for row in elsewhere} <= {"network"}
    assert len({row["account_id"] for row in elsewhere}) <= 0.02 * len(peaceful.labels)
    certain = min(row["confidence"] for row in rows if row["kind"] != "network")
    assert all(row["confidence"] < certain for row in elsewhere)


# Scores and alerts over two scorings


def test_scores_over_time_are_those_of_the_scoring_and_of_every_alert(
    planted: Planted, aftermath: Planted, decisions: Decided
) -> None:
    scores = {row["account_id"]: row for row in aftermath.stored("account_scores")}
    for account in (*decisions.alerted, *decisions.members, left(planted)):
        expected = [
            (scores[account]["as_of"], scores[account]["records"], "scoring", scores[account]["score"])
        ]
        expected += [
            (
                row["as_of"],
                row["evidence"]["records"],
                "live look" if row.get("is_live") else "alert",
                row["score"],
            )
            for row in alerts_of(aftermath)
            if row["subject_id"] == account
        ]
        rows = aftermath.ask("scores_over_time", account_id=account)
        assert [(row["as_of"], row["records"], row["source"], row["score"]) for row in rows] == sorted(
            expected
        )
        (row,) = aftermath.ask("case_scores", subject=account)
        judged = ("as_of", "records", "score", "p_value", "q_value", "decision", "benign_class", "reference")
        assert {name: row[name] for name in judged} == {name: scores[account][name] for name in judged}
    # It was noticed, and more records changed the score.
    before, *_, after = aftermath.ask("scores_over_time", account_id=decisions.attack)
    assert before["records"] < after["records"]
    assert before["score"] != after["score"]
    (cluster,) = aftermath.ask("case_scores", subject=decisions.cluster)
    (stored,) = (
        each for each in aftermath.stored("cluster_scores") if each["cluster_id"] == decisions.cluster
    )
    assert (cluster["score"], cluster["as_of"]) == (stored["score"], stored["as_of"])
    # Quiet: nothing of those who are not there.
    assert not aftermath.ask("scores_over_time", account_id="nobody")
    assert not aftermath.ask("case_scores", subject="nobody")


def test_alerts_of_an_account_are_its_own_and_its_clusters(aftermath: Planted, decisions: Decided) -> None:
    alerts = alerts_of(aftermath)
    assert len({each["as_of"] for each in alerts}) == 3
    members = {member for each in alerts if each["subject_kind"] == "cluster" for member in each["members"]}
    for account in {*members, *decisions.alerted}:
        theirs = [
            each for each in alerts if each["subject_id"] == account or account in (each["members"] or ())
        ]
        rows = aftermath.ask("alerts_of_an_account", account_id=account)
        assert {row["alert_id"] for row in rows} == {each["alert_id"] for each in theirs}
        assert rows
        told = {each["alert_id"]: each["evidence"] for each in theirs}
        for row in rows:
            assert row["first_sentence"] == told[row["alert_id"]]["sentences"][0]
            assert row["records"] == told[row["alert_id"]]["records"]
        times = [row["as_of"] for row in rows]
        assert times == sorted(times, reverse=True)
        case = aftermath.ask("case_alerts", subject=account)
        assert {row["alert_id"]: row["relation"] for row in case} == {
            each["alert_id"]: "subject" if each["subject_id"] == account else "cluster" for each in theirs
        }
        assert {row["alert_id"]: json.loads(row["evidence"]) for row in case} == told
    # Of a cluster: its own, and those of the members that its newest alert names.
    newest = max(
        (each for each in alerts if each["subject_id"] == decisions.cluster), key=lambda each: each["as_of"]
    )
    case = aftermath.ask("case_alerts", subject=decisions.cluster)
    assert {row["alert_id"]: row["relation"] for row in case} == {
        each["alert_id"]: "subject" if each["subject_id"] == decisions.cluster else "member"
        for each in alerts
        if each["subject_id"] in {decisions.cluster, *newest["members"]}
    }
    assert LIVE_ALERT in {row["alert_id"] for row in case if row["relation"] == "member"}
    # Quiet: hardly anybody honest has one.
    named = {member for each in alerts for member in each["members"]}
    honest = [account for account in aftermath.labels if not aftermath.attacks(account)]
    others = [account for account in honest if account not in named]
    assert len(honest) - len(others) <= 2
    assert not any(aftermath.ask("alerts_of_an_account", account_id=account) for account in others[::20])
    assert not any(aftermath.ask("case_alerts", subject=account) for account in others[::20])
