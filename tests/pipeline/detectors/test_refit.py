"""Further trees from known answers: what they learn, and that the null follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.classes.calibration import ClassNull
from pipeline.detectors.forest import Forest, ForestDetector
from pipeline.fit import forest as fitting
from pipeline.fit.labelled import LabelledWorld
from pipeline.signals import SignalTable

NAMES = ("one", "two")
SMALL = {"n_estimators": 30, "max_depth": 2, "min_samples_leaf": 5}


def world(seed: int, moved: str) -> LabelledWorld:
    """Attackers are high in one signal; which one they are high in is what the operator's lake differs by."""
    rng = np.random.default_rng(seed)
    attack = np.arange(500) < 40
    values = {name: rng.normal(size=500) for name in NAMES}
    values[moved][attack] += 3.0
    kind = np.where(attack, "harvest", "chat").astype(object)
    return LabelledWorld(
        values, attack, kind, np.full(500, "", object), np.full(500, 100), seed, np.zeros(500, bool)
    )


def ranked(found: LabelledWorld) -> SignalTable:
    ids = np.array([f"a{i:04d}" for i in range(len(found))], object)
    return SignalTable(ids, found.records, found.ranks(NAMES))


@pytest.fixture(scope="module")
def base() -> Forest:
    return fitting.fit([world(seed, "one") for seed in range(5)], NAMES, **SMALL)


@pytest.fixture(scope="module")
def refitted(base: Forest) -> Forest:
    known = world(90, "two")
    return fitting.refit(base, ranked(known), known.attack, np.ones(len(known)))


def judged(forest: Forest, found: LabelledWorld):
    detector = ForestDetector(forest)
    table = replace(ranked(found), columns=found.values)
    return detector.judge(table, detector.reference("lake", table))


def test_what_the_base_missed_is_found(base: Forest, refitted: Forest) -> None:
    other = world(91, "two")
    before, after = judged(base, other), judged(refitted, other)
    assert np.median(before.p_value[other.attack]) > 0.1
    assert np.median(after.p_value[other.attack]) < 0.05


def test_p_values_stay_right(refitted: Forest) -> None:
    # Without a new null every further tree that raises benign scores would make p-values too small.
    small = []
    for seed in range(100, 110):
        found = world(seed, "one")
        small.append((judged(refitted, found).p_value[~found.attack] <= 0.05).mean())
    assert np.mean(small) < 0.075


def test_the_null_is_that_of_the_sample_with_the_further_trees(base: Forest, refitted: Forest) -> None:
    sample = base.sample
    more = refitted.trees.scores(sample.ranks / 255.0) - base.trees.scores(sample.ranks / 255.0)
    expected = ClassNull.fitted(
        np.round(sample.score + more, 9),
        sample.memberships.astype(np.float64),
        base.null.names,
        weights=sample.weight,
    )
    np.testing.assert_allclose(refitted.null.pooled.quantiles, expected.pooled.quantiles, atol=1e-6)
    assert not np.allclose(refitted.null.pooled.quantiles, base.null.pooled.quantiles, atol=0.01)


def test_the_sample_stands_for_all(base: Forest) -> None:
    assert base.sample.weight.sum() == pytest.approx(5 * 460)
    again = ClassNull.fitted(
        base.sample.score,
        base.sample.memberships.astype(np.float64),
        base.null.names,
        weights=base.sample.weight,
    )
    scores = np.quantile(base.sample.score, [0.5, 0.9, 0.99])
    np.testing.assert_allclose(again.pooled(scores), base.null.pooled(scores), rtol=0.15)
