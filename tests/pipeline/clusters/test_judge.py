from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.clusters.curves import fingerprint
from pipeline.clusters.explain import group_evidence
from pipeline.clusters.find import group_columns
from pipeline.clusters.identity import JOINED
from pipeline.clusters.judge import (
    JUDGED,
    SURROUNDINGS,
    group_p_values,
    judge_clusters,
    judgement_fingerprint,
    sum_ranks,
)
from pipeline.clusters.models import SURE_TIES, GroupNull, GroupTrees, shipped, shipped_groups, shipped_null
from pipeline.clusters.rows import change_rows, edge_rows, read_changes
from pipeline.clusters.run import JudgedClusters, find_and_judge_clusters
from pipeline.clusters.ties import AccountTies
from pipeline.evaluate.groups import GroupSettings
from pipeline.evaluate.worlds import EvaluationSettings
from pipeline.fit.clusters import ClusterWorld, cluster_world
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table

if TYPE_CHECKING:
    from pipeline.clusters.find import Cluster

AS_OF = datetime(2026, 1, 12)


@cache
def world() -> ClusterWorld:
    return cluster_world(
        EvaluationSettings(accounts=260, records=100, seed=11, attack_share=0.12, attacks=("hydra",)),
        GroupSettings(seed=3, fleet_share=0.2, alone=0.0, loose=0.0, thin=0.0, small=0.0),
    )


@cache
def judged() -> tuple[JudgedClusters, SignalTable]:
    known = world()
    context = Context(Population.of(known.profiles))
    lake = signal_table(known.profiles, context)

    def total(cluster: Cluster):
        return known.profiles.of_accounts(cluster.members).total(cluster.cluster_id)

    found = find_and_judge_clusters(known.ties, known.payments, lake, total, context, as_of=AS_OF)
    return found, lake


def test_the_planted_campaign_ranks_above_every_honest_fleet() -> None:
    found, _ = judged()
    attack = [np.mean([world().truth[name].attack for name in each.members]) for each in found.clusters]
    assert max(attack) >= 0.9
    assert sum(each < 0.5 for each in attack) >= 3
    score = found.judgement.score
    honest = max(score[i] for i, each in enumerate(attack) if each < 0.5)
    assert score[int(np.argmax(attack))] > honest


def test_what_the_numbers_add_is_the_score() -> None:
    found, _ = judged()
    whole = sum(found.judgement.contributions.values()) + shipped_groups().trees.base
    np.testing.assert_allclose(whole, found.judgement.score, atol=1e-7)
    assert set(found.judgement.contributions) == set(JUDGED)
    assert not {f"sum_{name}" for name in SURROUNDINGS} & set(JUDGED)


def test_ranks_are_mid_ranks_of_the_plain_definition() -> None:
    found, lake = judged()
    ranks = sum_ranks(found.sums, lake)
    for name in ("topic_entropy", "reasoning_share"):
        known = lake.columns[name][lake.records >= 50]
        known = known[~np.isnan(known)]
        for value, rank in zip(found.sums.columns[name], ranks[f"sum_{name}"], strict=True):
            plain = (np.sum(known < value) + 0.5 * np.sum(known == value)) / len(known)
            assert rank == pytest.approx(plain)


def test_published_p_values_have_the_margin() -> None:
    found, _ = judged()
    likeness = group_columns(found.clusters)["likeness"]
    read = group_p_values(found.judgement.score, likeness, shipped_null())
    np.testing.assert_allclose(found.judgement.p_value, np.minimum(3.0 * read, 1.0))
    assert (read < 1 / 3).any()
    assert judgement_fingerprint().endswith("/3")


def test_few_accounts_to_rank_among_judge_nobody() -> None:
    found, lake = judged()
    few = lake.take(np.arange(40))
    nobody = judge_clusters(found.clusters, found.sums, few)
    assert np.isnan(nobody.score).all()
    assert np.isnan(nobody.p_value).all()


def test_p_values_are_conformal_and_fall_with_the_score() -> None:
    null = np.random.default_rng(1).normal(size=500)
    score = np.linspace(-4, 8, 60)
    p = group_p_values(score, np.zeros(60), GroupNull(np.zeros(500), null))
    assert (np.diff(p) <= 0).all()
    assert p[0] == 1
    middle = np.searchsorted(score, 0.5)
    assert p[middle] == (1 + (null >= score[middle]).sum()) / 501
    # A member of the null itself would exceed its p-value as often as it says.
    fresh = group_p_values(
        np.random.default_rng(2).normal(size=4000), np.zeros(4000), GroupNull(np.zeros(500), null)
    )
    for level in (0.3, 0.1, 0.03):
        assert (fresh <= level).mean() < 1.6 * level


def test_a_few_hundred_benign_groups_do_not_say_one_in_a_billion() -> None:
    """However their scores end, what lies beyond them is not known to be impossible."""
    null = GroupNull(np.zeros(300), np.random.default_rng(4).uniform(size=300))
    (p,) = group_p_values(np.array([1.2]), np.zeros(1), null)
    assert 1e-6 < p < 1e-3


def test_a_group_is_held_against_those_with_as_sure_ties() -> None:
    """Many fleets, sure of their ties and low in score, must not make a few strangers look rare."""
    rng = np.random.default_rng(3)
    fleets, strangers = rng.normal(-4, 1, 900), rng.normal(0, 1, 100)
    null = GroupNull(np.r_[np.full(900, 5.0), np.full(100, 0.5)], np.r_[fleets, strangers])
    fresh = rng.normal(0, 1, 2000)
    p = group_p_values(fresh, np.full(2000, 0.5), null)
    for level in (0.3, 0.1):
        assert (p <= level).mean() < 1.6 * level
    assert (p == group_p_values(fresh, np.full(2000, 0.5), GroupNull(np.full(100, 0.5), strangers))).all()
    # Of a fleet the same scores would be rare.
    assert (group_p_values(fresh, np.full(2000, 5.0), null) <= 0.01).mean() > 0.9
    edges = np.array([0.99, 1.0, 1.99, 2.0, 4.0, 40.0])
    assert GroupNull.part_of(edges).tolist() == [0, 1, 1, 2, 3, 3]
    assert SURE_TIES == (1.0, 2.0, 4.0)
    # Where no group like it is known, nothing is rare.
    assert group_p_values(np.array([9.0]), np.array([3.0]), null).tolist() == [1.0]


def test_figures_that_ship_are_whole() -> None:
    value = dict(shipped())
    assert value.pop("fingerprint") == fingerprint(value)
    trees = GroupTrees.from_json(value["groups"])
    assert trees.to_json() == value["groups"]
    assert trees.names == JUDGED


def test_evidence_names_what_was_judged_and_what_is_not_held_against() -> None:
    found, _ = judged()
    for row in range(len(found.clusters)):
        said = group_evidence(found.clusters, found.sums, found.judgement, row)
        assert {each["signal"] for each in said["signals"]} == set(JUDGED)
        assert "tied_payments" in said["not_held_against"]
        parts = [each["contribution"] for each in said["signals"]]
        assert parts == sorted(parts, reverse=True)
        assert all(sentence.startswith("All together: ") for sentence in said["sentences"])


def test_rows_of_edges_and_changes() -> None:
    found, _ = judged()
    edges = edge_rows(found.clusters, found.names, AS_OF)
    assert edges.num_rows == sum(len(each.edges) for each in found.clusters)
    assert set(edges["cluster_id"].to_pylist()) == set(found.names.values())
    assert {each.change for each in found.changes} == {JOINED}
    assert tuple(read_changes(change_rows(found.changes))) == found.changes
    assert sum(len(each.members) for each in found.clusters) == len(found.changes)


def test_ties_of_windows_are_those_of_their_accounts() -> None:
    ties, profiles = world().ties, world().profiles
    alone = AccountTies.of(profiles)
    for name in ("records", "embedding_sum", "kernel", "cells", "hashes"):
        assert np.array_equal(getattr(ties, name), getattr(alone, name)), name
    assert np.array_equal(ties.hourly.sum(axis=1), profiles.records)
    assert set(SIGNALS) == set(judged()[0].sums.columns)
