"""Every playbook on one simulated, landed and scored lake: it finds who was planted and is quiet on the others.

What "quiet" means is said per playbook: a hunting question always has a last row. `TESTED` says which test holds each.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.warehouse import load_tree

if TYPE_CHECKING:
    from tests.sql.conftest import Planted

PLAYBOOKS = load_tree()["playbooks"]
CONVERSATIONS = {"chat", "tutoring", "coding_agent", "support_bot"}

# They ask about what the planted lake has none of; their golden cases show that they find it.
NOTHING_THERE = {
    "accounts_named_by_others": "no indicators were imported",
    "identifiers_to_export": "nobody has decided anything",
    "allow_list": "nobody has decided anything",
    "dead_letters_by_reason": "every record was accepted",
    "overturned_alerts": "nobody has decided anything",
    "replacement_accounts": "nobody was closed",
    "verdict_history": "nobody has decided anything",
}


# Of each playbook the tests that see it find who or what was planted and stay quiet otherwise ...
FINDS = {
    "account_hours": "test_descriptions::test_a_harvest_works_at_more_hours_than_people_do",
    "account_repeats": "test_planted::test_a_list_is_asked_once_and_a_bot_repeats_itself",
    "accounts_named_by_others": "test_aftermath::test_a_partner_finds_the_exported_accounts_by_their_marks",
    "alerts_of_an_account": "test_aftermath::test_alerts_of_an_account_are_its_own_and_its_clusters",
    "allow_list": "test_aftermath::test_the_allow_list_says_what_stands",
    "case_alerts": "test_aftermath::test_alerts_of_an_account_are_its_own_and_its_clusters",
    "case_edges": "test_descriptions::test_edges_of_a_case_are_those_of_its_cluster",
    "case_networks": "test_descriptions::test_networks_of_the_hydra_are_shared_inside_it",
    "case_queue": "test_planted::test_the_queue_begins_with_attackers",
    "case_queue_facets": "test_planted::test_the_queue_begins_with_attackers",
    "case_records": "test_descriptions::test_records_to_read_are_those_that_alerts_name",
    "cluster_graph": "test_planted::test_the_alerted_cluster_is_the_hydra",
    "cluster_summary": "test_planted::test_the_alerted_cluster_is_the_hydra",
    "coverage_growth": "test_planted::test_coverage_of_a_harvest_does_not_bend",
    "data_freshness_and_gaps": "test_aftermath::test_what_is_lost_late_or_rejected_comes_first",
    "dead_letters_by_reason": "test_aftermath::test_a_broken_producer_is_told_reason_by_reason",
    "diluted_accounts": "test_planted::test_diluted_accounts_come_first_with_resellers",
    "dilution_inside_an_account": "test_planted::test_a_diluted_account_has_a_part_most_specialists_lack",
    "groups_behind_one_network_or_payment": "test_planted::test_groups_are_the_hydra",
    "identifiers_to_export": "test_aftermath::test_identifiers_of_attackers_leave_the_house_and_no_others",
    "list_workers": "test_planted::test_list_workers_are_harvests",
    "members_of_a_cluster": "test_planted::test_the_alerted_cluster_is_the_hydra",
    "model_pivot": "test_planted::test_pivots_are_found_first",
    "new_accounts_that_behave_alike": "test_planted::test_new_accounts_alike_are_the_hydra",
    "overlap_between_accounts": "test_planted::test_overlap_is_larger_within_the_hydra",
    "overturned_alerts": "test_aftermath::test_overturned_alerts_are_those_of_the_benign_and_the_allowed",
    "pivots_after_a_release": "test_planted::test_pivots_are_found_first",
    "prompts_sampled_many_times": "test_planted::test_repeated_draws_are_harvests_research_or_evaluation",
    "quiet_long_running_accounts": "test_planted::test_quiet_long_running_accounts_are_attackers_more_often_than_others",
    "repeated_prompts": "test_planted::test_a_list_is_asked_once_and_a_bot_repeats_itself",
    "replacement_accounts": "test_aftermath::test_the_successor_of_a_closed_account_is_found",
    "research_or_harvest": "test_planted::test_research_leans_less_to_harvests_than_they_do",
    "round_the_clock_accounts": "test_planted::test_round_the_clock_accounts_hold_the_harvests",
    "scores_over_time": "test_aftermath::test_scores_over_time_are_those_of_the_scoring_and_of_every_alert",
    "session_coherence": "test_planted::test_sessions_of_people_cohere_and_lists_do_not",
    "silent_hours": "test_aftermath::test_an_outage_is_found_and_usual_hours_are_not",
    "similar_accounts": "test_planted::test_similar_accounts_of_a_harvest_are_attackers_more_often_than_others",
    "template_slots": "test_planted::test_templates_are_filled_anew_by_a_list",
    "verdict_history": "test_aftermath::test_the_history_of_verdicts_is_theirs",
    "what_changed": "test_planted::test_what_changed_names_the_model",
    "who_shares_networks_or_payment": "test_planted::test_who_shares_leads_from_one_member_to_others",
    "who_uses": "test_descriptions::test_a_trait_is_used_by_whoever_has_it",
    "why_flagged": "test_planted::test_why_flagged_begins_with_what_drove_the_score_and_else_with_an_end_of_a_ranking",
}

# ... or that hold its figures against the files of the lake, where it describes.
DESCRIBES = {
    "account_hours": "test_descriptions::test_hours_are_counted",
    "account_networks": "test_descriptions::test_networks_are_what_was_used_together",
    "account_parameters": "test_descriptions::test_settings_are_those_of_the_records",
    "account_records": "test_descriptions::test_records_are_the_ones_asked_for",
    "account_summary": "test_agreement::test_topics_entropy_coverage_and_shares",
    "account_timeline": "test_descriptions::test_windows_are_sums_of_their_records",
    "alert_evidence": "test_planted::test_an_alert_explains_its_score_and_names_its_records",
    "alert_records": "test_planted::test_an_alert_explains_its_score_and_names_its_records",
    "case_accounts": "test_descriptions::test_accounts_of_a_case",
    "case_benign_prompts": "test_descriptions::test_the_background_of_a_case_is_of_accounts_that_were_judged_clear",
    "case_chains": "test_aftermath::test_what_is_lost_late_or_rejected_comes_first",
    "case_networks": "test_descriptions::test_networks_of_a_case_and_who_else_uses_them",
    "case_parameters": "test_descriptions::test_settings_of_a_case",
    "case_prompts": "test_descriptions::test_prompts_of_a_case_are_its_newest_records_with_their_vectors",
    "case_provenance": "test_descriptions::test_segments_of_a_case",
    "case_repeats": "test_descriptions::test_repeats_of_a_case",
    "case_scores": "test_aftermath::test_scores_over_time_are_those_of_the_scoring_and_of_every_alert",
    "case_timeline": "test_descriptions::test_windows_of_a_case",
    "case_topics": "test_descriptions::test_topics_of_a_case_beside_accounts_of_its_class",
    "cluster_timeline": "test_descriptions::test_days_of_a_cluster_and_when_its_members_joined",
    "identifiers_in_use": "test_descriptions::test_identifiers_are_everybodys",
    "members_of_a_cluster": "test_descriptions::test_days_of_a_cluster_and_when_its_members_joined",
    "overlap_between_accounts": "test_descriptions::test_two_accounts_have_in_common_what_both_used",
    "provenance_of_an_account": "test_descriptions::test_provenance_names_the_file_and_the_offsets_of_every_record",
    "topic_coverage_against_class": "test_descriptions::test_topics_are_counted_beside_those_of_the_class",
    "what_a_class_looks_like": "test_descriptions::test_a_class_looks_as_its_accounts_do",
}

# Topics of which a playbook looks for somebody or something: a description would not do.
HUNTING = {"hunt"}


@cache
def bodies(module: str) -> dict[str, str]:
    """Functions of a module beside this one, and their text."""
    text = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    lines = text.splitlines()
    return {node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in functions}


def body(test: str) -> str:
    """The text of ``module::name``; empty when there is no such test."""
    module, _, name = test.partition("::")
    return bodies(module).get(name, "")


def test_every_playbook_is_held_by_a_test_on_planted_traffic() -> None:
    names = {file.name for file in PLAYBOOKS}
    assert names - {*FINDS, *DESCRIBES} == set(), "write a test on planted traffic, and say here which it is"
    assert {*FINDS, *DESCRIBES} - names == set(), "there is no such playbook"
    hunting = {file.name for file in PLAYBOOKS if file.header["topic"] in HUNTING}
    assert hunting - set(FINDS) == set(), "who hunts has to find somebody, and to stay quiet on the others"
    for tests in (FINDS, DESCRIBES):
        for name, test in tests.items():
            assert f'"{name}"' in body(test), f"{test} does not ask {name}"
    for test in set(FINDS.values()):
        assert "# Quiet" in body(test), f"{test} does not say on whom it stays quiet"


@pytest.fixture(scope="module")
def examples(planted: Planted) -> dict[str, str]:
    """A value for every parameter without a default."""
    queue = planted.ask("case_queue", decision="alert")
    account = next(row for row in queue if row["subject_kind"] == "account")
    cluster = next(row for row in queue if row["subject_kind"] == "cluster")
    members = [
        row["account_id"] for row in planted.ask("members_of_a_cluster", cluster_id=cluster["subject_id"])
    ]
    model, released_at = planted.session.execute(
        "select model, min(event_time) as first_seen from records group by model order by first_seen desc limit 1"
    ).fetchone()
    networks = planted.ask("account_networks", account_id=account["subject_id"])
    return {
        "account_id": account["subject_id"],
        "subject": cluster["subject_id"],
        "subject_id": account["subject_id"],
        "alert_id": account["alert_id"],
        "cluster_id": cluster["subject_id"],
        "account_a": members[0],
        "account_b": members[1],
        "benign_class": "research",
        "model": model,
        "released_at": str(released_at),
        "kind": "client_network",
        "shared_value": networks[0]["client_network"],
    }


@pytest.mark.parametrize("file", PLAYBOOKS, ids=lambda file: file.name)
def test_it_runs_and_has_rows(planted: Planted, examples: dict[str, str], file: Any) -> None:
    missing = {p.name for p in file.parameters if p.required} - set(examples)
    assert not missing, "add a value to `examples`"
    given = {p.name: examples[p.name] for p in file.parameters if p.required}
    if file.name == "repeated_prompts":
        given["account_id"] = planted.of("support_bot")[0]
    rows = planted.ask(file.name, **given)
    assert bool(rows) == (file.name not in NOTHING_THERE), NOTHING_THERE.get(file.name)


def attackers(planted: Planted, rows: list[dict[str, Any]]) -> list[bool]:
    return [planted.attacks(row["account_id"]) for row in rows]


def test_the_queue_begins_with_attackers(planted: Planted, peaceful: Planted) -> None:
    rows = planted.ask("case_queue", decision="alert")
    accounts = [row["subject_id"] for row in rows if row["subject_kind"] == "account"]
    assert len(accounts) >= 8
    # Quiet: at most one honest account in the list.
    assert sum(not planted.attacks(account) for account in accounts) <= 1
    clusters = [row["subject_id"] for row in rows if row["subject_kind"] == "cluster"]
    assert len(clusters) == 1
    facets = {
        (row["facet"], row["facet_value"]): row["subjects"]
        for row in planted.ask("case_queue_facets", decision="alert")
    }
    assert facets["subject_kind", "account"] == len(accounts)
    assert facets["subject_kind", "cluster"] == 1
    # Where nobody attacks there is nothing to look at, and the facets count the others.
    assert not peaceful.ask("case_queue", decision="alert")
    decisions = {
        row["facet_value"]: row["subjects"]
        for row in peaceful.ask("case_queue_facets")
        if row["facet"] == "decision"
    }
    judged = [*peaceful.stored("account_scores"), *peaceful.stored("cluster_scores")]
    assert decisions == Counter(row["decision"] for row in judged)
    assert "alert" not in decisions


def test_the_alerted_cluster_is_the_hydra(planted: Planted) -> None:
    (cluster,) = planted.ask("case_queue", decision="alert", subject_kind="cluster")
    members = planted.ask("members_of_a_cluster", cluster_id=cluster["subject_id"])
    kinds = planted.counts(row["account_id"] for row in members)
    assert kinds["hydra"] >= 0.9 * len(planted.of("hydra"))
    # Quiet: at most one account that does not belong.
    assert len(members) - kinds["hydra"] <= 1
    edges = planted.ask("cluster_graph", cluster_id=cluster["subject_id"])
    assert {row["account_a"] for row in edges} | {row["account_b"] for row in edges} == {
        row["account_id"] for row in members
    }
    (summary,) = planted.ask("cluster_summary", cluster_id=cluster["subject_id"])
    assert summary["members"] == len(members)
    assert summary["records"] == sum(row["records"] for row in members)
    assert summary["edges"] == len(edges)
    days = planted.ask("cluster_timeline", cluster_id=cluster["subject_id"])
    assert sum(row["records"] for row in days) == summary["records"]


def test_list_workers_are_harvests(planted: Planted, peaceful: Planted) -> None:
    rows = planted.ask("list_workers")
    accounts = [row["account_id"] for row in rows]
    assert set(planted.of("harvest", least=50)) <= set(accounts)
    assert sum(attackers(planted, rows[:4])) >= 2
    assert planted.attacks(accounts[0])
    assert np.mean(attackers(planted, rows)) >= 0.5
    # Quiet: nobody who converses; what is left are jobs over many documents, research and evaluation.
    assert not set(planted.counts(accounts)) & CONVERSATIONS
    assert len(peaceful.ask("list_workers")) <= 0.03 * len(peaceful.labels)


def test_groups_are_the_hydra(planted: Planted, peaceful: Planted) -> None:
    rows = planted.ask("groups_behind_one_network_or_payment")
    assert set(planted.counts(rows[0]["account_ids"])) == {"hydra"}
    pure = [set(row["account_ids"]) for row in rows if set(planted.counts(row["account_ids"])) == {"hydra"}]
    assert len(set.union(*pure)) >= len(planted.of("hydra")) / 2
    # Quiet: at most a third of the groups is something else.
    assert len(rows) - len(pure) <= len(rows) / 3
    # Strangers in one office are less of a coincidence than a hydra is.
    others = peaceful.ask("groups_behind_one_network_or_payment")
    assert len(others) <= 2
    assert all(row["deviations"] < 0.6 * rows[0]["deviations"] for row in others)


def test_new_accounts_alike_are_the_hydra(planted: Planted, peaceful: Planted) -> None:
    """As it is asked by default, on both lakes."""
    rows = planted.ask("new_accounts_that_behave_alike")
    assert set(planted.counts(row["account_id"] for row in rows)) == {"hydra"}
    assert len(rows) >= 6
    # By likeness alone they are first as well, among many others.
    alone = planted.ask("new_accounts_that_behave_alike", least_ties=0)
    assert [row["account_id"] for row in alone[: len(rows)]] == [row["account_id"] for row in rows]
    assert len(alone) == 50
    # Quiet: hardly anybody of a lake that nobody attacks.
    assert len(peaceful.ask("new_accounts_that_behave_alike")) <= 0.01 * len(peaceful.labels)


def test_who_shares_leads_from_one_member_to_others(planted: Planted, peaceful: Planted) -> None:
    """As it is asked by default, and with a bound that leaves out carriers."""

    def tied(lake: Planted, account: str) -> int:
        """Others with the same payment or two of the same networks, and not of the same organisation."""
        rows = lake.ask("who_shares_networks_or_payment", account_id=account)
        colleagues = {row["account_id"] for row in rows if row["kind"] == "organization_id"}
        return len(
            {
                row["account_id"]
                for row in rows
                if row["kind"] == "payment_id" or (row["kind"] == "client_network" and row["n_shared"] >= 2)
            }
            - colleagues
        )

    rarest = [
        planted.kind(row["account_id"])
        for account in planted.of("hydra")
        for row in planted.ask("who_shares_networks_or_payment", account_id=account)[:3]
    ]
    assert np.mean([kind == "hydra" for kind in rarest]) > 0.8
    assert np.median([tied(planted, account) for account in planted.of("hydra")]) >= 3
    honest = [tied(peaceful, account) for account in sorted(peaceful.labels)[::9]]
    assert len(honest) >= 40
    assert np.mean([number > 0 for number in honest]) <= 0.05
    found: list[bool] = []
    for account in planted.of("hydra"):
        rows = planted.ask("who_shares_networks_or_payment", account_id=account, most_accounts=6)
        found += [planted.kind(row["account_id"]) == "hydra" for row in rows]
    # Quiet: with a bound that leaves out carriers, most of who is found belongs.
    assert len(found) >= 20
    assert np.mean(found) >= 0.6


def test_pivots_are_found_first(planted: Planted, peaceful: Planted, examples: dict[str, str]) -> None:
    (row,) = planted.ask("pivots_after_a_release")
    assert row["model"] == examples["model"]
    assert planted.kind(row["moved_most"][0]) == "pivot"
    # Quiet: an eighth of the accounts with enough records.
    assert row["pivots"] <= row["accounts"] / 8
    moved = planted.ask("model_pivot", model=row["model"], released_at=row["first_seen"])
    assert planted.kind(moved[0]["account_id"]) == "pivot"
    assert moved[0]["share_after"] > 5 * moved[0]["share_of_everybody"]
    assert sum(not planted.attacks(each["account_id"]) for each in moved) <= 3
    assert row["largest_share"] > 0.9
    # A model that is liked draws as many where nobody attacks, and nobody with nearly all of the traffic.
    (liked,) = peaceful.ask("pivots_after_a_release")
    assert liked["pivots"] <= liked["accounts"] / 8
    assert liked["largest_share"] < 0.8
    tried = peaceful.ask("model_pivot", model=liked["model"], released_at=liked["first_seen"])
    assert len(tried) <= 0.02 * len(peaceful.labels)
    assert all(each["share_after"] < 0.8 for each in tried)


def test_what_changed_names_the_model(planted: Planted, examples: dict[str, str]) -> None:
    def moved(account: str) -> float:
        rows = planted.ask("what_changed", account_id=account, changed_at=examples["released_at"])
        return max((row["change"] for row in rows if row["aspect"] == "models"), default=0.0)

    pivots = [moved(account) for account in planted.of("pivot", least=100)]
    others = [moved(account) for account in planted.of("batch_job", "coding_agent", "chat", least=100)]
    # Quiet: honest accounts keep to their models.
    assert max(pivots) > 0.5
    assert np.median(others) < 0.1


def test_repeated_draws_are_harvests_research_or_evaluation(planted: Planted, peaceful: Planted) -> None:
    rows = planted.ask("prompts_sampled_many_times")
    kinds = planted.counts(row["account_id"] for row in rows)
    assert kinds["pivot"] + kinds["careful_harvest"] >= 1
    # Quiet: nobody else, and few.
    assert set(kinds) <= {"pivot", "careful_harvest", "slow_drip", "researcher", "evaluation_harness"}
    assert len(rows) <= 10
    assert len(peaceful.ask("prompts_sampled_many_times")) <= 0.03 * len(peaceful.labels)


def test_diluted_accounts_come_first_with_resellers(planted: Planted, peaceful: Planted) -> None:
    accounts = [row["account_id"] for row in planted.ask("diluted_accounts")]
    assert set(planted.of("diluted", least=50)) <= set(accounts[:15])
    assert planted.kind(accounts[0]) == "diluted"
    # Quiet as far as it can be: up to the last diluted account nobody but resellers, who are the same honestly.
    last = max(accounts.index(account) for account in planted.of("diluted", least=50))
    assert set(planted.counts(accounts[: last + 1])) <= {"diluted", "reseller", "hydra"}
    for lake in (planted, peaceful):
        rows = lake.ask("diluted_accounts")
        assert len(rows) <= 0.05 * len(lake.labels)
        kinds = lake.counts(row["account_id"] for row in rows)
        assert kinds["diluted"] + kinds["reseller"] >= 0.8 * len(rows)


def test_a_list_is_asked_once_and_a_bot_repeats_itself(planted: Planted) -> None:
    def asked_once(account: str) -> float:
        rows = planted.ask("account_repeats", account_id=account)
        return float(sum(row["share_of_records"] for row in rows if row["times"] == 1))

    lists = [asked_once(account) for account in planted.of("harvest", "reasoning_harvest", least=50)]
    bots = [asked_once(account) for account in planted.of("support_bot", least=50)]
    assert min(lists) > 0.97
    # Quiet: a bot answers the same questions again and again.
    assert np.median(bots) < 0.8
    assert not any(
        planted.ask("repeated_prompts", account_id=account) for account in planted.of("harvest", least=50)
    )
    bot = planted.of("support_bot")[0]
    rows = planted.ask("repeated_prompts", account_id=bot)
    counts = Counter(f"{row['prompt_hash']:016x}" for row in planted.records_of(bot))
    assert {row["prompt"]: row["times"] for row in rows}.items() <= counts.items()
    assert [row["times"] for row in rows] == sorted(counts.values(), reverse=True)[: len(rows)]
    assert rows


def test_templates_are_filled_anew_by_a_list(planted: Planted) -> None:
    def fresh(account: str) -> float:
        rows = planted.ask("template_slots", account_id=account)
        return float(np.average([r["fresh_share"] for r in rows], weights=[r["records"] for r in rows]))

    lists = [fresh(account) for account in planted.of("harvest", least=50)]
    bots = [fresh(account) for account in planted.of("support_bot", least=50)]
    assert min(lists) > 0.97
    # Quiet: a bot fills the same slots again.
    assert np.median(bots) < np.median(lists) - 0.1


def test_a_trait_leads_to_all_who_have_it(planted: Planted) -> None:
    groups = planted.ask("groups_behind_one_network_or_payment")
    for group in (groups[0], groups[-1]):
        users = planted.ask("who_uses", kind=group["kind"], shared_value=group["shared_value"])
        assert {row["accounts_with_it"] for row in users} == {group["accounts"]} == {len(users)}
        assert set(group["account_ids"]) <= {row["account_id"] for row in users}


def test_two_that_ask_nearly_the_same_say_the_same_of_one_account(planted: Planted) -> None:
    account = planted.of("harvest", least=50)[0]

    def both(one: str, case: str, *names: str) -> None:
        mine, theirs = planted.ask(one, account_id=account), planted.ask(case, subject=account)
        assert mine
        assert sorted([row[name] for name in names] for row in mine) == sorted(
            [row[name] for name in names] for row in theirs
        )

    both("account_parameters", "case_parameters", "records", "model")
    both("account_timeline", "case_timeline", "window_start", "records", "topics", "topic_entropy")
    both(
        "provenance_of_an_account",
        "case_provenance",
        "topic_id",
        "partition",
        "first_offset",
        "contents_digest",
    )
    times = {row["times"]: row["prompts"] for row in planted.ask("account_repeats", account_id=account)}
    of_case = planted.ask("case_repeats", subject=account)
    assert times == {row["times"]: row["different"] for row in of_case if row["kind"] == "prompt"}
    (summary,) = planted.ask("account_summary", account_id=account)
    (member,) = planted.ask("case_accounts", subject=account)
    assert member["records"] == summary["records"] == planted.labels[account].records
    topics = [row for row in planted.ask("case_topics", subject=account) if row["role"] == "subject"]
    coverage = planted.ask("topic_coverage_against_class", account_id=account)
    assert {row["topic"]: row["records"] for row in topics} == {
        row["topic"]: row["records"] for row in coverage if row["records"]
    }


def test_a_diluted_account_has_a_part_most_specialists_lack(planted: Planted) -> None:
    def likeness(account: str) -> float:
        rows = planted.ask("dilution_inside_an_account", account_id=account)
        return float(rows[0]["list_likeness"]) if rows else 0.0

    diluted = [likeness(account) for account in planted.of("diluted", least=50)]
    specialists = [likeness(account) for account in planted.of("tutoring", "coding_agent", "niche", least=50)]
    assert np.median(diluted) > 0.75
    assert min(diluted) > 0.65
    # Quiet: half of the specialists have no such part.
    assert np.median(specialists) < 0.65


def test_quiet_long_running_accounts_are_attackers_more_often_than_others(
    planted: Planted, peaceful: Planted
) -> None:
    """As it is asked by default, on both lakes."""
    rows = planted.ask("quiet_long_running_accounts")
    accounts = [row["account_id"] for row in rows]
    assert planted.attacks(accounts[0])
    assert sum(attackers(planted, rows[:6])) >= 3
    assert np.mean(attackers(planted, rows)) > 0.3
    # A drip that asks again, or nine times in a week, is no drip to it; the one that does neither is there.
    assert set(planted.of("slow_drip")) & set(accounts)
    # Quiet: nobody who is narrow or answers customers, and few of a lake that nobody attacks.
    assert not set(planted.counts(accounts)) & {"niche", "support_bot", "tutoring", "coding_agent"}
    assert len(peaceful.ask("quiet_long_running_accounts")) <= 0.06 * len(peaceful.labels)


def test_round_the_clock_accounts_hold_the_harvests(planted: Planted, peaceful: Planted) -> None:
    rows = planted.ask("round_the_clock_accounts")
    accounts = [row["account_id"] for row in rows]
    assert len(set(planted.of("harvest", least=50)) & set(accounts)) >= 4
    assert np.mean(attackers(planted, rows)) >= 0.5
    # Quiet: people sleep, and so do their agents; few of a lake that nobody attacks do not.
    assert not set(planted.counts(accounts)) & {"tutoring", "coding_agent", "chat"}
    assert len(peaceful.ask("round_the_clock_accounts")) <= 0.03 * len(peaceful.labels)


def test_sessions_of_people_cohere_and_lists_do_not(planted: Planted) -> None:
    def coherence(account: str) -> float:
        rows = [row for row in planted.ask("session_coherence", account_id=account) if row["pairs"]]
        return float(np.average([r["coherence"] for r in rows], weights=[r["pairs"] for r in rows]))

    lists = [coherence(account) for account in planted.of("harvest", "reasoning_harvest")[:6]]
    people = [coherence(account) for account in planted.of("tutoring", "coding_agent")[:6]]
    assert np.median(lists) < 0.05
    # Quiet: what people ask next belongs to what they asked before.
    assert np.median(people) > 0.2


def test_research_leans_less_to_harvests_than_they_do(planted: Planted) -> None:
    def lean(account: str) -> float:
        rows = planted.ask("research_or_harvest", account_id=account)
        assert rows
        return float(np.mean([row["leans_to"] == "harvest" for row in rows]))

    harvests = [lean(account) for account in planted.of("harvest", "reasoning_harvest", least=50)]
    research = [lean(account) for account in planted.of("researcher", "evaluation_harness", least=50)]
    assert min(harvests) > 0.5
    # Quiet: research and evaluation lean to it on fewer points.
    assert np.median(research) < np.median(harvests) - 0.2


def test_coverage_of_a_harvest_does_not_bend(planted: Planted) -> None:
    def growth(account: str) -> tuple[float, int]:
        rows = planted.ask("coverage_growth", account_id=account)
        reached = next(row for row in rows if row["records_so_far"] >= 50)
        return rows[-1]["new_prompt_share_so_far"], reached["topics_so_far"]

    harvests = [growth(account) for account in planted.of("harvest", least=50)]
    specialists = [growth(account) for account in planted.of("tutoring", "coding_agent", "niche", least=50)]
    assert min(share for share, _ in harvests) > 0.97
    # Quiet: specialists have met their topics by then.
    assert np.median([topics for _, topics in harvests]) > 2 * np.median(
        [topics for _, topics in specialists]
    )


def test_a_harvest_covers_what_its_class_does_not(planted: Planted) -> None:
    account = planted.of("harvest", least=50)[0]
    rows = planted.ask("topic_coverage_against_class", account_id=account)
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert sum(row["class_share"] for row in rows) == pytest.approx(1)
    assert sum(row["records"] for row in rows) == planted.labels[account].records


def test_an_alert_explains_its_score_and_names_its_records(planted: Planted) -> None:
    for row in planted.ask("case_queue", decision="alert", subject_kind="account"):
        signals = planted.ask("alert_evidence", alert_id=row["alert_id"])
        (evidence,) = planted.session.execute(
            "select evidence from alerts where alert_id = $id", {"id": row["alert_id"]}
        ).fetchone()
        told = json.loads(evidence)
        assert [each["contribution"] for each in signals] == sorted(
            (each["contribution"] for each in told["signals"]), reverse=True
        )
        records = planted.ask("alert_records", alert_id=row["alert_id"])
        assert [each["request_id"] for each in records] == [
            each["request_id"] for each in told["look_at"]["records"]
        ]


def test_why_flagged_begins_with_what_drove_the_score_and_else_with_an_end_of_a_ranking(
    planted: Planted,
) -> None:
    for alert in planted.ask("case_queue", decision="alert", subject_kind="account"):
        rows = planted.ask("why_flagged", account_id=alert["subject_id"])
        drove = planted.ask("alert_evidence", alert_id=alert["alert_id"])
        assert {row["alert_id"] for row in rows[: len(drove)]} == {alert["alert_id"]}
        # In order of what each adds; equals in any.
        assert [row["contribution"] for row in rows[: len(drove)]] == [row["contribution"] for row in drove]
        used = {row["signal"]: (row["contribution"], row["rank_used"], row["signal_value"]) for row in drove}
        assert all(
            used[row["signal"]] == (row["contribution"], row["rank_used"], row["signal_value"])
            for row in rows[: len(drove)]
        )
        assert all(row["contribution"] is None for row in rows[len(drove) :])
    (highest,) = planted.session.execute(
        "select account_id from account_scores where decision <> 'alert' and account_id not in (select subject_id from alerts) "
        "order by score desc nulls last, account_id limit 1"
    ).fetchone()
    rows = planted.ask("why_flagged", account_id=highest)
    assert all(row["contribution"] is None for row in rows)
    assert abs(rows[0]["rank_in_lake"] - 0.5) > 0.48
    # Quiet: the account in the middle of the scores has no signal at an end.
    (middle,) = planted.session.execute(
        "select account_id from account_scores where score is not null order by abs(score - "
        "(select median(score) from account_scores)), account_id limit 1"
    ).fetchone()
    ends = [abs(row["rank_in_lake"] - 0.5) > 0.48 for row in planted.ask("why_flagged", account_id=middle)]
    assert np.mean(ends) < 0.05


def test_similar_accounts_of_a_harvest_are_attackers_more_often_than_others(planted: Planted) -> None:
    share = np.mean([each.attack for each in planted.labels.values() if each.records >= 50])
    found = [
        planted.attacks(row["account_id"])
        for account in planted.of("harvest", "reasoning_harvest", least=50)
        for row in planted.ask("similar_accounts", account_id=account, limit_rows=5)
    ]
    assert np.mean(found) > 1.5 * share
    # Quiet: of accounts that are like a person's at work, hardly any attack.
    honest = [
        planted.attacks(row["account_id"])
        for account in planted.of("tutoring", "coding_agent", least=50)
        for row in planted.ask("similar_accounts", account_id=account, limit_rows=5)
    ]
    assert np.mean(honest) < 0.5 * share


def test_overlap_is_larger_within_the_hydra(planted: Planted) -> None:
    def shared(a: str, b: str) -> int:
        rows = planted.ask("overlap_between_accounts", account_a=a, account_b=b)
        return sum(row["of_both"] > 0 for row in rows if row["kind"] in {"client_network", "payment_id"})

    hydra, chats = planted.of("hydra"), planted.of("chat")[: len(planted.of("hydra"))]
    within = [shared(a, b) for a in hydra for b in hydra if a < b]
    across = [shared(a, b) for a, b in zip(hydra, chats, strict=True)]
    # Quiet: with strangers a member has next to nothing in common.
    assert np.mean(within) > 3 * np.mean(across)
