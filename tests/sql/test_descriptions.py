"""Playbooks that describe say what is true: their answers on the planted lake, computed anew from its files.

Each computation is a few lines of Python over the records and tables that landed, and not the SQL said twice.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.tables import SIGNAL_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tests.sql.conftest import Planted

KINDS = ("harvest", "hydra", "tutoring", "reseller")


@pytest.fixture(scope="module", params=KINDS)
def account(planted: Planted, request: pytest.FixtureRequest) -> str:
    """The largest of a kind."""
    return planted.of(request.param)[0]


@pytest.fixture(scope="module")
def cluster(planted: Planted) -> str:
    """The one with an alert."""
    (found,) = planted.ask("case_queue", decision="alert", subject_kind="cluster")
    return str(found["subject_id"])


def members(planted: Planted, cluster: str) -> set[str]:
    """Of an alerted cluster: those that the alert names."""
    (found,) = (row for row in planted.stored("alerts") if row["subject_id"] == cluster)
    return set(found["members"])


@pytest.fixture(scope="module", params=["account", "cluster"])
def subject(planted: Planted, cluster: str, request: pytest.FixtureRequest) -> str:
    """What a case is about: whom an alert names."""
    if request.param == "cluster":
        return cluster
    return str(planted.ask("case_queue", decision="alert", subject_kind="account")[0]["subject_id"])


def accounts_of(planted: Planted, subject: str) -> set[str]:
    return {subject} if subject in planted.labels else members(planted, subject)


Rows = list[dict[str, Any]]


def grouped(rows: Iterable[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], Rows]:
    """Records by the values of some columns."""
    groups: dict[tuple[Any, ...], Rows] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def times(rows: Rows) -> tuple[datetime, datetime]:
    return min(row["event_time"] for row in rows), max(row["event_time"] for row in rows)


def hour(row: dict[str, Any]) -> datetime:
    moment: datetime = row["event_time"]
    return moment.replace(minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def topics(planted: Planted) -> dict[str, Counter[int]]:
    """Records of every account by topic, of the windows' files."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for file in (planted.path / "rollups").glob("**/*.windows.parquet"):
        for row in pq.read_table(file, columns=["account_id", "topic_count"]).to_pylist():
            counts[row["account_id"]].update({each["bucket"]: each["count"] for each in row["topic_count"]})
    return counts


def digest(text: str) -> str:
    """What chooses at random, and always the same."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def hexadecimal(value: int | None) -> str | None:
    return None if value is None else f"{value:016x}"


def share(rows: Rows, name: str) -> float:
    return sum(bool(row[name]) for row in rows) / len(rows)


def descending(values: list[Any]) -> bool:
    return values == sorted(values, reverse=True)


# One account


def test_hours_are_counted(planted: Planted, account: str) -> None:
    counts = Counter(
        (row["event_time"].date(), row["event_time"].hour) for row in planted.records_of(account)
    )
    rows = planted.ask("account_hours", account_id=account)
    assert [(row["day"], row["hour"], row["records"]) for row in rows] == [
        (*when, count) for when, count in sorted(counts.items())
    ]
    assert all(row["day_of_week"] == row["day"].isoweekday() for row in rows)


def test_a_harvest_works_at_more_hours_than_people_do(planted: Planted) -> None:
    def hours(*kinds: str) -> list[int]:
        return [
            len({row["hour"] for row in planted.ask("account_hours", account_id=account)})
            for account in planted.of(*kinds, least=100)
        ]

    assert min(hours("harvest")) >= 23
    # Quiet: people sleep.
    assert np.median(hours("coding_agent", "chat")) <= 20


NETWORK = ("client_network", "asn", "country", "user_agent", "payment_id", "organization_id")


def test_networks_are_what_was_used_together(planted: Planted, account: str) -> None:
    records = planted.records_of(account)
    groups = grouped(records, *NETWORK)
    rows = planted.ask("account_networks", account_id=account)
    assert {tuple(row[name] for name in NETWORK) for row in rows} == set(groups)
    for row in rows:
        theirs = groups[tuple(row[name] for name in NETWORK)]
        assert row["records"] == len(theirs)
        assert row["share"] == pytest.approx(len(theirs) / len(records))
        assert row["active_days"] == len({each["event_time"].date() for each in theirs})
        assert (row["first_seen"], row["last_seen"]) == times(theirs)
        assert row["combinations"] == len(groups)
    assert descending([row["records"] for row in rows])


SETTINGS = (
    "model", "temperature", "top_p", "max_tokens", "choice_count", "logprobs", "stream", "reasoning_requested",
)  # fmt: skip


def test_settings_are_those_of_the_records(planted: Planted, account: str) -> None:
    records = planted.records_of(account)
    groups = grouped(records, *SETTINGS)
    rows = planted.ask("account_parameters", account_id=account, limit_rows=1000)
    assert {tuple(row[name] for name in SETTINGS) for row in rows} == set(groups)
    for row in rows:
        theirs = groups[tuple(row[name] for name in SETTINGS)]
        assert row["records"] == len(theirs)
        assert row["share"] == pytest.approx(len(theirs) / len(records))
        for plural, name in (("system_prompts", "system_prompt_hash"), ("templates", "template_hash")):
            assert row[plural] == len({each[name] for each in theirs} - {None})
        assert row["mean_output_tokens"] == pytest.approx(np.mean([each["output_tokens"] for each in theirs]))
        assert (row["first_seen"], row["last_seen"]) == times(theirs)
    assert descending([row["records"] for row in rows])


def test_records_are_the_ones_asked_for(planted: Planted, account: str) -> None:
    records = planted.records_of(account)
    place = ("topic_id", "partition", "offset", "row")

    def told(**given: object) -> Rows:
        return planted.ask("account_records", account_id=account, **given)

    def which(rows: Rows) -> list[tuple[Any, ...]]:
        return [tuple(row[name] for name in place) for row in rows]

    rows = told()
    assert which(rows) == which(records[:100])
    assert {row["matching"] for row in rows} == {len(records)}
    assert which(told(skip_rows=7, limit_rows=5)) == which(records[7:12])
    one = records[len(records) // 2]
    narrowed: dict[str, tuple[object, Callable[[dict[str, Any]], bool]]] = {
        "since": (one["event_time"], lambda row: row["event_time"] >= one["event_time"]),
        "until": (one["event_time"], lambda row: row["event_time"] < one["event_time"]),
        "model": (one["model"], lambda row: row["model"] == one["model"]),
        "client_network": (
            one["client_network"],
            lambda row: row["client_network"] == one["client_network"],
        ),
        "template": (
            hexadecimal(one["template_hash"]),
            lambda row: row["template_hash"] == one["template_hash"],
        ),
        "prompt": (hexadecimal(one["prompt_hash"]), lambda row: row["prompt_hash"] == one["prompt_hash"]),
    }
    for name, (value, fits) in narrowed.items():
        wanted = [row for row in records if fits(row)]
        if value is not None:
            assert which(told(limit_rows=1000, **{name: value})) == which(wanted), name
    for row, record in zip(rows, records, strict=False):
        for name in (*SETTINGS, *NETWORK, "event_time", "request_id", "status", "latency_ms", "input_tokens"):
            assert row[name] == record[name]
        for name in ("prompt", "template", "system_prompt"):
            assert row[name] == hexadecimal(record[f"{name}_hash"])


def test_windows_are_sums_of_their_records(planted: Planted, account: str) -> None:
    windows: dict[datetime, Rows] = defaultdict(list)
    for record in planted.records_of(account):
        windows[hour(record)].append(record)
    rows = planted.ask("account_timeline", account_id=account)
    assert [row["window_start"] for row in rows] == sorted(windows)
    for row in rows:
        theirs = windows[row["window_start"]]
        assert row["records"] == len(theirs)
        for name in ("input_tokens", "output_tokens"):
            assert row[f"mean_{name}"] == pytest.approx(np.mean([each[name] for each in theirs]))
        assert row["reasoning_share"] == pytest.approx(share(theirs, "reasoning_requested"))
        several = [(each["choice_count"] or 1) > 1 for each in theirs]
        assert row["multiple_choices_share"] == pytest.approx(np.mean(several))
        for statuses, name in (({"error", "timeout"}, "error_share"), ({"refused"}, "refusal_share")):
            assert row[name] == pytest.approx(np.mean([each["status"] in statuses for each in theirs]))
        assert 1 <= row["topics"] <= len(theirs)
    half = rows[len(rows) // 2]["window_start"]
    assert planted.ask("account_timeline", account_id=account, since=half) == rows[len(rows) // 2 :]
    assert planted.ask("account_timeline", account_id=account, until=half) == rows[: len(rows) // 2]


def test_provenance_names_the_file_and_the_offsets_of_every_record(planted: Planted, account: str) -> None:
    offsets = np.array([row["offset"] for row in planted.records_of(account)])
    rows = planted.ask("provenance_of_an_account", account_id=account)
    assert sum(row["records_of_account"] for row in rows) == len(offsets)
    for row in rows:
        file = pq.read_table(planted.path / row["file"])
        inside = [each for each in file.to_pylist() if each["account_id"] == account]
        assert row["records_of_account"] == len(inside)
        assert (row["first_offset_of_account"], row["last_offset_of_account"]) == (
            min(each["offset"] for each in inside),
            max(each["offset"] for each in inside),
        )
        assert (row["first_event_time"], row["last_event_time"]) == times(inside)
        assert (row["first_offset"], row["last_offset"]) == (
            min(file["offset"].to_pylist()),
            max(file["offset"].to_pylist()),
        )
        assert row["records_in_all"] == file.num_rows


def test_topics_are_counted_beside_those_of_the_class(
    planted: Planted, topics: dict[str, Counter[int]], account: str
) -> None:
    scores = planted.stored("account_scores")
    (theirs,) = (row["benign_class"] for row in scores if row["account_id"] == account)
    peers = [
        row["account_id"]
        for row in scores
        if row["decision"] in {"clear", "allowed"}
        and theirs in {None, row["benign_class"]}
        and row["account_id"] != account
    ]
    peers = sorted(peers, key=digest)[:40]
    of_class = sum((topics[peer] for peer in peers), Counter[int]())
    rows = planted.ask("topic_coverage_against_class", account_id=account)
    assert [row["topic"] for row in rows] == sorted({*topics[account], *of_class})
    for row in rows:
        assert row["records"] == topics[account][row["topic"]]
        assert row["class_records"] == of_class[row["topic"]]
        assert row["class_accounts"] == sum(row["topic"] in topics[peer] for peer in peers)
        assert row["share_of_class_accounts"] == pytest.approx(row["class_accounts"] / len(peers))
        assert (row["benign_class"], row["class_accounts_in_all"]) == (theirs, len(peers))


THINGS = {
    "prompt": "prompt_hash",
    "template": "template_hash",
    "system_prompt": "system_prompt_hash",
    "client_network": "client_network",
    "user_agent": "user_agent",
    "payment_id": "payment_id",
    "organization_id": "organization_id",
    "model": "model",
    "country": "country",
}


def test_two_accounts_have_in_common_what_both_used(planted: Planted) -> None:
    hydra, chat = planted.of("hydra"), planted.of("chat")
    in_common = 0
    for one, other in ((hydra[0], hydra[1]), (hydra[0], hydra[2]), (hydra[0], chat[0]), (chat[0], chat[1])):
        rows = {
            row["kind"]: row
            for row in planted.ask("overlap_between_accounts", account_a=one, account_b=other)
        }
        for kind, name in THINGS.items():
            a, b = (
                Counter(row[name] for row in planted.records_of(account) if row[name] is not None)
                for account in (one, other)
            )
            if not a or not b:
                assert kind not in rows
                continue
            row, both = rows[kind], set(a) & set(b)
            assert (row["of_a"], row["of_b"], row["of_both"]) == (len(a), len(b), len(both))
            assert row["jaccard"] == pytest.approx(len(both) / len({*a, *b}))
            assert row["share_of_records_a"] == pytest.approx(
                sum(a[each] for each in both) / a.total(), abs=1e-9
            )
            in_common += len(both)
    assert in_common >= 8


def test_a_trait_is_used_by_whoever_has_it(planted: Planted, account: str) -> None:
    records = planted.records_of(account)
    for kind, name in THINGS.items():
        value = Counter(row[name] for row in records if row[name] is not None).most_common(1)
        if not value:
            continue
        users = grouped((row for row in planted.landed if row[name] == value[0][0]), "account_id")
        shown = value[0][0] if isinstance(value[0][0], str) else hexadecimal(value[0][0])
        rows = planted.ask("who_uses", kind=kind, shared_value=shown, limit_rows=1000)
        assert {row["account_id"]: row["records_with_it"] for row in rows} == {
            user: len(theirs) for (user,), theirs in users.items()
        }
        assert {row["accounts_with_it"] for row in rows} == {len(users)}
        for row in rows:
            assert (row["first_seen_with_it"], row["last_seen_with_it"]) == times(users[(row["account_id"],)])
    # Quiet: nobody uses what is not there.
    assert not planted.ask("who_uses", kind="client_network", shared_value="nowhere")


# A case: one account, or a cluster as if it were one


def test_settings_of_a_case(planted: Planted, subject: str) -> None:
    records = planted.records_of(*accounts_of(planted, subject))
    groups = grouped(records, *SETTINGS)
    rows = planted.ask("case_parameters", subject=subject, limit_rows=1000)
    assert {tuple(row[name] for name in SETTINGS) for row in rows} == set(groups)
    for row in rows:
        theirs = groups[tuple(row[name] for name in SETTINGS)]
        assert (row["records"], row["accounts"]) == (len(theirs), len(grouped(theirs, "account_id")))
        assert row["share"] == pytest.approx(len(theirs) / len(records))
        assert (row["first_seen"], row["last_seen"]) == times(theirs)


def test_windows_of_a_case(planted: Planted, subject: str) -> None:
    windows: dict[tuple[datetime, str], Rows] = defaultdict(list)
    for record in planted.records_of(*accounts_of(planted, subject)):
        windows[hour(record), record["account_id"]].append(record)
    rows = planted.ask("case_timeline", subject=subject)
    assert [(row["window_start"], row["account_id"]) for row in rows] == sorted(windows)
    for row in rows:
        theirs = windows[row["window_start"], row["account_id"]]
        assert row["records"] == len(theirs)
        assert row["mean_output_tokens"] == pytest.approx(np.mean([each["output_tokens"] for each in theirs]))
        assert row["reasoning_share"] == pytest.approx(share(theirs, "reasoning_requested"))
        assert row["refusal_share"] == pytest.approx(
            np.mean([each["status"] == "refused" for each in theirs])
        )


def test_repeats_of_a_case(planted: Planted, subject: str) -> None:
    records = planted.records_of(*accounts_of(planted, subject))
    expected: dict[tuple[str, int], list[int]] = defaultdict(list)
    for kind in ("prompt", "template", "system prompt"):
        for (value,), theirs in grouped(records, f"{kind.replace(' ', '_')}_hash").items():
            if value is not None:
                expected[kind, len(theirs)].append(len(grouped(theirs, "account_id")))
    rows = planted.ask("case_repeats", subject=subject)
    assert [(row["kind"], row["times"]) for row in rows] == sorted(expected)
    for row in rows:
        used_by = expected[row["kind"], row["times"]]
        assert row["different"] == len(used_by)
        assert row["records"] == row["times"] * len(used_by)
        assert row["in_several_accounts"] == sum(accounts > 1 for accounts in used_by)
        assert row["most_accounts"] == max(used_by)


def test_topics_of_a_case_beside_accounts_of_its_class(
    planted: Planted, topics: dict[str, Counter[int]], subject: str
) -> None:
    accounts = accounts_of(planted, subject)
    rows = planted.ask("case_topics", subject=subject)
    told: dict[str, dict[str, Counter[int]]] = {
        "subject": defaultdict(Counter),
        "class": defaultdict(Counter),
    }
    for row in rows:
        told[row["role"]][row["account_id"]][row["topic"]] = row["records"]
    assert told["subject"] == {account: topics[account] for account in accounts}
    scores = planted.stored("account_scores")
    others = [
        row
        for row in scores
        if row["decision"] == "clear" and row["records"] >= 50 and row["account_id"] not in accounts
    ]
    # The class of most records, of those with five accounts to compare with.
    sizes: Counter[str] = Counter()
    for row in scores:
        peers = sum(each["benign_class"] == row["benign_class"] for each in others)
        if row["account_id"] in accounts and row["benign_class"] and peers >= 5:
            sizes[row["benign_class"]] += row["records"]
    name = min(sizes, key=lambda each: (-sizes[each], each), default=None)
    chosen = [row["account_id"] for row in others if name in {None, row["benign_class"]}]
    assert told["class"] == {account: topics[account] for account in sorted(chosen, key=digest)[:80]}
    assert {row["benign_class"] for row in rows} == {name}


def test_networks_of_a_case_and_who_else_uses_them(planted: Planted, subject: str) -> None:
    accounts = accounts_of(planted, subject)
    names = {
        "network": "client_network",
        "payment": "payment_id",
        "organization": "organization_id",
        "user agent": "user_agent",
    }
    expected: dict[tuple[str, str], tuple[Any, ...]] = {}
    for kind, name in names.items():
        for (value,), theirs in grouped(planted.landed, name).items():
            inside = [row for row in theirs if row["account_id"] in accounts]
            if value is not None and inside:
                users = {row["account_id"] for row in theirs}
                expected[kind, value] = (
                    len(inside),
                    len(users & accounts),
                    len(users - accounts),
                    *times(inside),
                )
    columns = ("records", "accounts", "accounts_elsewhere", "first_seen", "last_seen")
    rows = planted.ask("case_networks", subject=subject, limit_rows=1000)
    assert {(row["kind"], row["value"]): tuple(row[name] for name in columns) for row in rows} == expected
    order = [(-row["accounts"], row["accounts_elsewhere"], -row["records"]) for row in rows]
    assert order == sorted(order)


def test_networks_of_the_hydra_are_shared_inside_it(
    planted: Planted, peaceful: Planted, cluster: str
) -> None:
    def inside(lake: Planted, subject: str) -> int:
        """Members behind the most shared network or payment that nobody else uses more."""
        return max(
            (
                row["accounts"]
                for row in lake.ask("case_networks", subject=subject)
                if row["kind"] in {"network", "payment"} and row["accounts_elsewhere"] <= row["accounts"]
            ),
            default=0,
        )

    assert inside(planted, cluster) >= 4
    # Quiet: a person shares with nobody.
    assert {inside(peaceful, account) for account in peaceful.of("chat")[:10]} <= {0, 1}


def test_prompts_of_a_case_are_its_newest_records_with_their_vectors(planted: Planted, subject: str) -> None:
    records = planted.records_of(*accounts_of(planted, subject))
    assert len(records) < 2000
    rows = planted.ask("case_prompts", subject=subject)
    for found, wanted in (
        (rows, records),
        (planted.ask("case_prompts", subject=subject, newest=9), records[-9:]),
    ):
        assert [(row["request_id"], row["embedding"]) for row in found] == [
            (row["request_id"], row["embedding"]) for row in wanted
        ]


def test_records_to_read_are_those_that_alerts_name(planted: Planted, subject: str) -> None:
    accounts = accounts_of(planted, subject)
    named = set()
    for alert in planted.stored("alerts"):
        for entry in json.loads(alert["evidence"])["look_at"]["records"]:
            owner = alert["subject_id"] if alert["subject_kind"] == "account" else entry["account_id"]
            named.add((owner, entry["request_id"]))
    records = [
        row for row in planted.records_of(*accounts) if (row["account_id"], row["request_id"]) in named
    ]
    assert records
    rows = planted.ask("case_records", subject=subject)
    names = ("event_time", "account_id", "request_id", "partition", "offset", "row", "model", "input_tokens")
    assert sorted([row[name] for name in names] for row in rows) == sorted(
        [row[name] for name in names] for row in records
    )
    # Quiet: no alert names records of the others.
    quiet = planted.of("chat", "niche")[:4]
    assert not any(planted.ask("case_records", subject=account) for account in quiet)


def test_segments_of_a_case(planted: Planted, subject: str) -> None:
    accounts = accounts_of(planted, subject)
    rows = planted.ask("case_provenance", subject=subject)
    for row in rows:
        inside = [
            each["offset"]
            for each in pq.read_table(planted.path / row["file"]).to_pylist()
            if each["account_id"] in accounts
        ]
        assert (row["records_of_subject"], row["first_of_subject"], row["last_of_subject"]) == (
            len(inside),
            min(inside),
            max(inside),
        )
    assert sum(row["records_of_subject"] for row in rows) == len(planted.records_of(*accounts))


def test_accounts_of_a_case(planted: Planted, subject: str) -> None:
    accounts = accounts_of(planted, subject)
    scores = {row["account_id"]: row for row in planted.stored("account_scores")}
    clusters = {row["account_id"]: row for row in planted.stored("clusters")}
    rows = planted.ask("case_accounts", subject=subject)
    assert {row["account_id"] for row in rows} == accounts
    for row in rows:
        records = planted.records_of(row["account_id"])
        assert row["records"] == len(records)
        assert (row["first_window"], row["last_window"]) == (hour(records[0]), hour(records[-1]))
        for name in ("as_of", "score", "p_value", "decision", "benign_class", "first_seen"):
            assert row[name] == scores[row["account_id"]][name]
        for name in ("cluster_id", "centroid_cosine", "links"):
            assert row[name] == clusters.get(row["account_id"], {}).get(name)


def test_edges_of_a_case_are_those_of_its_cluster(planted: Planted, cluster: str) -> None:
    edges = [row for row in planted.stored("cluster_edges") if row["cluster_id"] == cluster]
    place = ("account_a", "account_b")
    clustered = {row["account_id"] for row in planted.stored("clusters")}
    (scores,) = (row for row in planted.stored("cluster_scores") if row["cluster_id"] == cluster)
    for subject in (cluster, scores["members_hash"], *planted.of("hydra")[:2]):
        rows = planted.ask("case_edges", subject=subject)
        assert sorted(rows, key=lambda row: [row[name] for name in place]) == sorted(
            edges, key=lambda row: [row[name] for name in place]
        )
        assert descending([row["score"] for row in rows])
    # They are ties of the hydra with itself.
    assert np.mean([planted.kind(row["account_a"]) == planted.kind(row["account_b"]) for row in rows]) > 0.8
    # Quiet: who is in no cluster has none.
    alone = [account for account in planted.of("harvest", "chat") if account not in clustered]
    assert len(alone) > 20
    assert not any(planted.ask("case_edges", subject=account) for account in alone[:8])


def test_days_of_a_cluster_and_when_its_members_joined(planted: Planted, cluster: str) -> None:
    inside = {row["account_id"]: row for row in planted.stored("clusters") if row["cluster_id"] == cluster}
    records = planted.records_of(*inside)
    days = Counter((row["event_time"].date(), row["account_id"]) for row in records)
    windows = {(row["event_time"].date(), row["account_id"], hour(row)) for row in records}
    rows = planted.ask("cluster_timeline", cluster_id=cluster)
    assert [(row["day"], row["account_id"], row["records"]) for row in rows] == [
        (*when, count) for when, count in sorted(days.items())
    ]
    assert Counter((day, account) for day, account, _ in windows) == {
        (row["day"], row["account_id"]): row["windows"] for row in rows
    }
    joined = {
        row["account_id"]: row["as_of"]
        for row in planted.stored("cluster_changes")
        if (row["cluster_id"], row["change"]) == (cluster, "joined")
    }
    found = planted.ask("members_of_a_cluster", cluster_id=cluster)
    assert {row["account_id"]: row["joined_at"] for row in found} == joined
    assert {row["account_id"]: row["links"] for row in found} == {
        account: row["links"] for account, row in inside.items()
    }


# What everybody does


def test_identifiers_are_everybodys(planted: Planted) -> None:
    names = {
        "account": "account_id",
        "network": "client_network",
        "payment": "payment_id",
        "user agent": "user_agent",
    }
    counts = Counter(
        (row["account_id"], kind, row[name])
        for row in planted.landed
        for kind, name in names.items()
        if row[name] is not None
    )
    rows = planted.ask("identifiers_in_use")
    assert [(row["account_id"], row["kind"], row["value"], row["records"]) for row in rows] == [
        (*which, count) for which, count in sorted(counts.items())
    ]


def test_the_background_of_a_case_is_of_accounts_that_were_judged_clear(
    planted: Planted, subject: str
) -> None:
    others = [
        row["account_id"]
        for row in planted.stored("account_scores")
        if row["decision"] == "clear"
        and row["records"] >= 20
        and row["account_id"] not in accounts_of(planted, subject)
    ]
    chosen = sorted(others, key=digest)[:60]
    expected = []
    for account in sorted(chosen):
        theirs = sorted(planted.records_of(account), key=lambda row: digest(row["request_id"]))
        expected += [(account, row["embedding"]) for row in theirs[:25]]
    rows = planted.ask("case_benign_prompts", subject=subject)
    assert [(row["account_id"], row["embedding"]) for row in rows] == expected
    # Quiet: nearly all of the background is honest.
    assert np.mean([planted.attacks(account) for account in chosen]) < 0.1


def test_a_class_looks_as_its_accounts_do(planted: Planted) -> None:
    known = [row for row in planted.stored("account_scores") if row["records"] >= 50]
    classes = Counter(row["benign_class"] for row in known if row["benign_class"])
    for name, size in classes.most_common(3):
        rows = planted.ask("what_a_class_looks_like", benign_class=name)
        assert {row["source"] for row in rows} == {"accounts of this lake"}
        assert {row["signal"] for row in rows} <= set(SIGNAL_COLUMNS)
        assert len(rows) > 50
        for row in rows:
            everybody = values(known, row["signal"])
            inside = values([each for each in known if each["benign_class"] == name], row["signal"])
            assert row["class_accounts"] == len(inside) <= size
            assert row["accounts_of_everybody"] == len(everybody)
            assert row["class_median"] == pytest.approx(np.median(inside))
            assert row["class_mad"] == pytest.approx(deviation(inside))
            assert row["median_of_everybody"] == pytest.approx(np.median(everybody))
            assert row["mad_of_everybody"] == pytest.approx(deviation(everybody))
            assert row["class_tenth"] <= row["class_median"] <= row["class_ninetieth"]
            assert np.mean(inside < row["class_tenth"]) <= 0.1 <= np.mean(inside <= row["class_tenth"])
            assert (
                np.mean(inside < row["class_ninetieth"]) <= 0.9 <= np.mean(inside <= row["class_ninetieth"])
            )
            if row["mad_of_everybody"]:
                apart = (np.median(inside) - np.median(everybody)) / deviation(everybody)
                assert row["difference"] == pytest.approx(apart)
        far = planted.ask("what_a_class_looks_like", benign_class=name, least_difference=2)
        assert far == [row for row in rows if abs(row["difference"] or 0) >= 2]
    # Quiet: nobody is of a class that there is not.
    assert not planted.ask("what_a_class_looks_like", benign_class="nobody")


def values(rows: Rows, signal: str) -> Any:
    return np.array([row[signal] for row in rows if row[signal] is not None], np.float64)


def deviation(numbers: Any) -> float:
    """Median absolute deviation."""
    return float(np.median(np.abs(numbers - np.median(numbers))))
