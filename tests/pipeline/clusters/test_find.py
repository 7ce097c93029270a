from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.clusters import find
from pipeline.clusters.communities import communities
from pipeline.clusters.curves import Curve, Curves
from pipeline.clusters.find import EDGES_A_MEMBER, Cluster, find_clusters, group_columns
from pipeline.clusters.ties import AccountTies

# Log odds that any reasonable fit would agree with: content alike and one operator's parameters.
MODEL = Curves(
    -6.0,
    {
        "topic_distance": Curve((0.0, 0.5), (4.0, -4.0), 0.0),
        "same_sampling": Curve((0.0, 3.0), (0.0, 4.0), 0.0),
    },
)


@pytest.fixture
def found(lake) -> list[Cluster]:
    return find_clusters(lake.ties(), lake.payments, model=MODEL)


def test_the_hydra_of_thin_accounts_and_the_bots_are_found_apart(found: list[Cluster]) -> None:
    assert [each.members for each in found] == [
        tuple(f"bot-{i:02d}" for i in range(15)),
        tuple(f"hydra-{i:02d}" for i in range(12)),
    ]
    bots, hydra = found
    assert hydra.numbers["thin_share"] == 1
    assert hydra.numbers["union_overlap"] < 0.15 < bots.numbers["union_overlap"]
    assert hydra.numbers["topic_evenness"] > bots.numbers["topic_evenness"]
    assert {"payment", "network"} <= set(hydra.shared)


def test_the_order_of_accounts_does_not_matter(lake, found: list[Cluster]) -> None:
    ties = lake.ties()
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(ties))
        parts = [ties.take(order[i::3]) for i in range(3)]
        joined = AccountTies.joined(parts, ties.embedding_sum.shape[1])
        assert np.array_equal(joined.account_id, ties.account_id)
        again = find_clusters(joined, lake.payments, model=MODEL)
        # As text, for numbers that are not there equal nothing, not even themselves.
        assert repr(again) == repr(found)


def test_edges_lie_inside_and_are_the_best_of_each_member(found: list[Cluster]) -> None:
    for each in found:
        assert all(edge.account_a < edge.account_b for edge in each.edges)
        assert {name for edge in each.edges for name in (edge.account_a, edge.account_b)} <= set(each.members)
        assert len({(edge.account_a, edge.account_b) for edge in each.edges}) == len(each.edges)
        assert len(each.edges) <= EDGES_A_MEMBER * len(each.members)
        assert sum(each.links) % 2 == 0
        assert all(edge.log_odds >= 0 for edge in each.edges)


def test_of_many_edges_each_member_keeps_its_best(
    lake, found: list[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "EDGES_A_MEMBER", 1)
    for whole, few in zip(found, find_clusters(lake.ties(), lake.payments, model=MODEL), strict=True):
        best = set()
        for member in whole.members:
            mine = [edge for edge in whole.edges if member in (edge.account_a, edge.account_b)]
            mine.sort(key=lambda edge: (-edge.log_odds, edge.account_a, edge.account_b))
            best.add((mine[0].account_a, mine[0].account_b))
        assert {(edge.account_a, edge.account_b) for edge in few.edges} == best
        assert len(best) < len(whole.edges)


def test_nobody_is_found_where_nobody_belongs_together(lake) -> None:
    ties = lake.ties()
    users = np.flatnonzero([name.startswith("user") for name in ties.account_id])
    assert find_clusters(ties.take(users), lake.payments, model=MODEL) == []
    assert find_clusters(ties.take(users[:1]), {}, model=MODEL) == []
    assert find_clusters(AccountTies.joined([], 32), {}, model=MODEL) == []


def test_two_cliques_with_a_bridge_are_two_groups_whatever_the_order() -> None:
    clique = [(a, b) for a in range(8) for b in range(a)]
    pairs = np.array([*clique, *((a + 10, b + 10) for a, b in clique), (7, 10), (20, 21)])
    odds = np.full(len(pairs), 3.0)
    wanted = [list(range(8)), list(range(10, 18))]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(pairs))
        some = pairs[order]
        flip = np.random.default_rng(seed).random(len(some)) < 0.5
        some[flip] = some[flip][:, ::-1]
        found = communities(some[:, 0], some[:, 1], odds[order], resolution=0.1)
        assert [group.tolist() for group in found] == wanted


def test_communities_of_a_tangle_do_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(8)
    pairs = np.unique(np.sort(rng.integers(0, 60, (300, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    odds = np.round(rng.uniform(0, 2, len(pairs)), 3)
    wanted = [group.tolist() for group in communities(pairs[:, 0], pairs[:, 1], odds, resolution=0.2)]
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(len(pairs))
        found = communities(pairs[order, 1], pairs[order, 0], odds[order], resolution=0.2)
        assert [group.tolist() for group in found] == wanted


def test_numbers_of_groups_come_in_columns(found: list[Cluster]) -> None:
    columns = group_columns(found)
    assert columns["members"].tolist() == [round(float(np.log2(15)), 9), round(float(np.log2(12)), 9)]
    assert group_columns([]).keys() == columns.keys()


def test_activity_follows_its_account(lake) -> None:
    ties = lake.ties()
    order = np.random.default_rng(4).permutation(len(ties))
    taken = ties.take(order)
    assert np.array_equal(taken.hourly, ties.hourly[order])
    assert np.array_equal(taken.hourly.sum(axis=1), taken.records)
    assert replace(ties, activity=np.empty((0, 3), np.int64)).hourly.shape == (len(ties), 1)
