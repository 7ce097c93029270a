"""The trees against the library that fitted them, and a detector that finds what it was fitted to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier

from pipeline.detectors.forest import Forest, ForestDetector
from pipeline.detectors.forest.model import NullSample
from pipeline.detectors.forest.trees import LEAF
from pipeline.detectors.reference import Reference
from pipeline.errors import UsageError
from pipeline.fit import forest as fitting
from pipeline.fit.labelled import LabelledWorld
from pipeline.signals import SignalTable
from pipeline.signals.base import Population

NAMES = ("one", "two", "three", "four")
SMALL = {"n_estimators": 40, "max_depth": 3, "min_samples_leaf": 5}


def world(seed: int, accounts: int = 400, attackers: int = 30) -> LabelledWorld:
    """Attackers are high in one and low in two, together; three and four say nothing."""
    rng = np.random.default_rng(seed)
    attack = np.arange(accounts) < attackers
    values = {name: rng.normal(size=accounts) for name in NAMES}
    values["one"][attack] += 3.0
    values["two"][attack] -= 3.0
    values["four"][rng.random(accounts) < 0.2] = np.nan
    kind = np.where(attack, "harvest", np.where(rng.random(accounts) < 0.2, "rare", "common"))
    campaign = np.full(accounts, "", object)
    return LabelledWorld(
        values, attack, kind.astype(object), campaign, np.full(accounts, 100), seed, np.zeros(accounts, bool)
    )


@pytest.fixture(scope="module")
def fitted() -> Forest:
    return fitting.fit([world(seed) for seed in range(6)], NAMES, **SMALL)


def table_of(found: LabelledWorld) -> SignalTable:
    ids = np.array([f"a{i:04d}" for i in range(len(found))], object)
    return SignalTable(ids, found.records, found.values)


def test_trees_add_up_as_the_library_says() -> None:
    ranks, attack, weight = fitting.design([world(1), world(2)], NAMES)
    trees = fitting.boost(ranks, attack, weight, 3, **SMALL)
    changes = {**fitting.BOOSTING, **SMALL}
    plain = GradientBoostingClassifier(**changes, random_state=3)
    plain.fit(ranks.astype(np.float32), attack, sample_weight=weight)
    rng = np.random.default_rng(0)
    fresh = np.concatenate([ranks, rng.random((500, len(NAMES)))])
    np.testing.assert_allclose(
        trees.scores(fresh), plain.decision_function(fresh.astype(np.float32)), rtol=1e-9
    )


def test_a_rank_on_a_threshold_goes_where_the_library_sends_it() -> None:
    ranks, attack, weight = fitting.design([world(5)], NAMES)
    trees = fitting.boost(ranks, attack, weight, 0, **SMALL)
    plain = GradientBoostingClassifier(**{**fitting.BOOSTING, **SMALL}, random_state=0)
    plain.fit(ranks.astype(np.float32), attack, sample_weight=weight)
    at = trees.threshold[trees.signal != LEAF].astype(np.float64)
    edges = np.stack([np.concatenate([at, np.nextafter(at, 1), np.nextafter(at, 0)])] * len(NAMES), axis=1)
    np.testing.assert_allclose(
        trees.scores(edges), plain.decision_function(edges.astype(np.float32)), rtol=1e-9
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_contributions_and_the_base_are_the_score(fitted: Forest, seed: int) -> None:
    ranks = np.random.default_rng(seed).random((50, len(NAMES)))
    parts = fitted.trees.contributions(ranks)
    np.testing.assert_allclose(parts.sum(axis=1) + fitted.trees.base, fitted.trees.scores(ranks), atol=1e-9)


def test_a_signal_that_no_tree_asks_for_adds_nothing(fitted: Forest) -> None:
    ranks = np.random.default_rng(4).random((50, len(NAMES) + 1))
    assert not fitted.trees.contributions(ranks)[:, -1].any()


def test_the_file_gives_the_same_forest_back(fitted: Forest, tmp_path) -> None:
    path = tmp_path / "forest.npz"
    fitted.save(path)
    again = Forest.load(path)
    assert again.fingerprint == fitted.fingerprint
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="not a fitted forest"):
        Forest.load(path)


def test_any_change_changes_the_fingerprint(fitted: Forest) -> None:
    value = fitted.trees.value.copy()
    value[-1] = np.nextafter(value[-1], np.inf)
    others = (
        replace(fitted, trees=replace(fitted.trees, value=value)),
        replace(fitted, null=replace(fitted.null, strength=7.0)),
        replace(fitted, standard_null=None),
        replace(fitted, agreed=None),
        replace(fitted, fitted={**fitted.fitted, "seed": 99}),
    )
    assert len({fitted.fingerprint, *(each.fingerprint for each in others)}) == 6


def test_the_null_comes_from_trees_that_had_not_seen_the_world(fitted: Forest) -> None:
    worlds = [world(seed) for seed in range(6)]
    expected = []
    for i, each in enumerate(worlds):
        others = [other for j, other in enumerate(worlds) if j % fitting.FOLDS != i % fitting.FOLDS]
        trees = fitting.boost(*fitting.design(others, NAMES), 0, **SMALL)
        ranks, attack, _ = fitting.design([each], NAMES)
        expected.append(trees.scores(ranks)[~attack])
    null = fitted.null.pooled
    share = (np.concatenate(expected)[:, None] >= null.quantiles[None, ::40]).mean(axis=0)
    np.testing.assert_allclose(share, null(null.quantiles[::40]), atol=0.01)


def test_the_fit_does_not_depend_on_its_processes(fitted: Forest) -> None:
    again = fitting.fit([world(seed) for seed in range(6)], NAMES, workers=2, **SMALL)
    assert again.fingerprint == fitted.fingerprint


def test_a_large_sample_behind_the_null_stays_small_and_stands_for_everybody() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=5000)
    sample = NullSample.of(rng.random((5000, 2)), score, np.ones((5000, 1)), top=0.05, most=100, others=300)
    assert len(sample.score) == 400
    assert sample.weight.sum() == pytest.approx(5000)
    assert sorted(sample.score)[-100:] == sorted(score)[-100:]
    assert (sample.weight[np.argsort(sample.score)[-100:]] == 1).all()


def test_attackers_are_found_and_p_values_are_right_in_other_worlds(fitted: Forest) -> None:
    detector = ForestDetector(fitted)
    small = []
    for seed in range(50, 60):
        found = world(seed)
        table = table_of(found)
        judged = detector.judge(table, detector.reference("lake", table))
        # Trees that had not seen a world calibrate: with five of them they are worse than those that judge, and err high.
        assert np.median(judged.p_value[found.attack]) < 0.01
        small.append((judged.p_value[~found.attack] <= 0.05).mean())
        total = sum(judged.contributions.values()) + fitted.trees.base
        np.testing.assert_allclose(total, judged.score, atol=1e-6)
    assert 0.01 < np.mean(small) < 0.08


def test_the_mean_of_both_p_values_is_none_and_what_is_published_is_one(fitted: Forest) -> None:
    shares = []
    for forest in (replace(fitted, agreed=None), fitted):
        detector, small = ForestDetector(forest), []
        for seed in range(50, 62):
            found = world(seed)
            table = table_of(found)
            judged = detector.judge(table, detector.reference("lake", table))
            small.append((judged.p_value[~found.attack] <= 0.02).mean())
        shares.append(float(np.mean(small)))
    assert shares[0] > 1.25 * shares[1]
    assert 0.005 < shares[1] < 0.03


def test_published_p_values_have_the_margin(fitted: Forest) -> None:
    table = table_of(world(60))
    wider = replace(fitted, fitted={**fitted.fitted, "margin": 2.0})
    plain, more = (
        detector.judge(table, detector.reference("lake", table)).p_value
        for detector in (ForestDetector(fitted), ForestDetector(wider))
    )
    np.testing.assert_allclose(more, np.minimum(2.0 * plain, 1.0))
    assert (plain < 0.5).any()
    assert fitted.fingerprint != wider.fingerprint


def test_those_who_stand_out_are_no_part_of_what_the_others_are_ranked_in(fitted: Forest) -> None:
    detector, found = ForestDetector(fitted), world(72)
    table = table_of(found)
    rows = np.flatnonzero(~found.attack)
    honest = SignalTable(
        table.account_id[rows], table.records[rows], {k: v[rows] for k, v in table.columns.items()}
    )
    clean, own = detector.reference("lake", honest), detector.reference("lake", table)
    everybody = Reference.of("lake", table, Population.empty())
    # Attackers are high in it: among them everybody else is lower than among the honest.
    among = [each.signals["one"].rank(honest.columns["one"]) for each in (clean, own, everybody)]
    assert abs(among[1] - among[0]).mean() < abs(among[2] - among[0]).mean() / 2


def test_order_of_accounts_does_not_matter(fitted: Forest) -> None:
    detector, found = ForestDetector(fitted), world(70)
    table = table_of(found)
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = SignalTable(
        table.account_id[order], table.records[order], {k: v[order] for k, v in table.columns.items()}
    )
    one = detector.judge(table, detector.reference("lake", table))
    two = detector.judge(shuffled, detector.reference("lake", shuffled))
    np.testing.assert_array_equal(one.score[order], two.score)
    np.testing.assert_array_equal(one.p_value[order], two.p_value)


def test_nothing_is_said_of_thin_accounts_and_without_signals(fitted: Forest) -> None:
    detector, found = ForestDetector(fitted), world(71)
    table = table_of(found)
    records = table.records.copy()
    records[3] = 49
    columns = {name: values.copy() for name, values in table.columns.items()}
    for values in columns.values():
        values[5] = np.nan
    table = SignalTable(table.account_id, records, columns)
    judged = detector.judge(table, detector.reference("lake", table))
    assert np.isnan(judged.score[[3, 5]]).all()
    assert np.isnan(judged.p_value[[3, 5]]).all()
    assert not np.isnan(np.delete(judged.score, [3, 5])).any()


def test_who_was_not_read_in_detail_counts_at_the_end_of_the_list() -> None:
    from pipeline.signals.every import DETAILS

    from_profile, from_records = "topic_entropy", DETAILS[0]
    renamed = [
        LabelledWorld(
            {from_profile: each.values["one"], from_records: each.values["two"]},
            each.attack,
            each.kind,
            each.campaign,
            each.records,
            each.seed,
            each.specialist,
        )
        for each in (world(seed) for seed in range(5))
    ]
    detector = ForestDetector(fitting.fit(renamed, (from_profile, from_records), **SMALL))
    table = table_of(renamed[0])
    columns = {name: values.copy() for name, values in table.columns.items()}
    columns[from_records][:5] = np.nan
    some = SignalTable(table.account_id, table.records, columns)
    judged = detector.judge(some, detector.reference("lake", some))
    assert (judged.p_value[:5] == 1.0).all() or not np.isnan(judged.score[:5]).any()
    # A reference that lacks signals is no reason to clear anybody.
    reference = detector.reference("lake", table)
    bare = replace(reference, signals={from_profile: reference.signals[from_profile]})
    few = detector.judge(table, bare)
    assert not (few.p_value == 1.0).any()
