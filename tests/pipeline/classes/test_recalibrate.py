"""Recalibration in a lake of which some attack."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_lakes as lakes

from pipeline.classes import Classes, benign_weights, recalibrate
from pipeline.classes.recalibrate import CONTAMINATION, FOUNDING, TRIM
from pipeline.signals import SignalTable

STRANGE = np.array([2.5, -2.5, 2.5, -2.5, 2.5])


@pytest.fixture(scope="module")
def classes() -> Classes:
    return lakes.shipped()


def strangers(count: int, seed: int = 7) -> np.ndarray:
    return STRANGE + 0.3 * np.random.default_rng(seed).normal(size=(count, 5))


def moved(before: Classes, after: Classes) -> float:
    """Largest move of a class's scale or centre in the space, or of its 95 % quantile, in the signal's spread."""
    far = [
        np.abs(before.mixture.scale - after.mixture.scale).max(),
        np.abs(before.mixture.centre - after.mixture.centre).max(),
    ]
    for one, two in zip(before.each, after.each, strict=True):
        for name in lakes.SIGNALS:
            places = [5, 50, 95]
            far += np.abs(one.signals[name].quantiles[places] - two.signals[name].quantiles[places]).tolist()
    return float(max(far))


def test_a_twentieth_of_attackers_hardly_moves_the_classes_and_would_without_trimming(
    classes: Classes,
) -> None:
    clean, dirty = lakes.lake(seed=21), lakes.lake(seed=21, extra=strangers(79))
    assert pytest.approx(CONTAMINATION, abs=0.001) == 79 / 1579
    base = recalibrate(classes, clean.values, clean.ranks, strength=1)
    robust = recalibrate(classes, dirty.values, dirty.ranks, strength=1)
    trusting = recalibrate(classes, dirty.values, dirty.ranks, strength=1, trim=0, beyond=0)
    assert not robust.kept[dirty.truth == -1].any()
    assert robust.kept[dirty.truth >= 0].mean() > 0.93
    assert moved(base.classes, robust.classes) < 0.35
    assert moved(base.classes, trusting.classes) > 0.7
    assert robust.founded == ()


def test_a_clean_lake_keeps_its_accounts(classes: Classes) -> None:
    lake = lakes.lake(seed=22)
    assert recalibrate(classes, lake.values, lake.ranks).kept.mean() > 0.95


def test_a_large_new_form_of_use_becomes_a_class(classes: Classes) -> None:
    lake = lakes.lake(1200, 23, extra=strangers(400))
    found = recalibrate(classes, lake.values, lake.ranks)
    assert len(found.founded) == 1
    new = found.classes.names.index(found.founded[0])
    best = found.classes.assign(lake.ranks).argmax(axis=1)
    assert (best[lake.truth == -1] == new).mean() > 0.95
    assert (best[lake.truth >= 0] == new).mean() < 0.05
    assert FOUNDING > CONTAMINATION


def test_order_and_names_of_accounts_do_not_matter(classes: Classes) -> None:
    lake = lakes.lake(400, 24, extra=strangers(20))
    order = np.random.default_rng(1).permutation(420)
    one = recalibrate(classes, lake.values, lake.ranks)
    two = recalibrate(classes, lake.values.take(order), lake.ranks.take(order))
    assert one.classes.fingerprint == two.classes.fingerprint
    np.testing.assert_array_equal(one.kept[order], two.kept)


def test_nobody_gives_the_shipped_classes(classes: Classes) -> None:
    lake = lakes.lake(30, 25)
    poor = SignalTable(lake.values.account_id, np.full(30, 10), lake.values.columns)
    found = recalibrate(classes, poor, lake.ranks)
    assert not found.kept.any()
    np.testing.assert_allclose(found.classes.mixture.centre, classes.mixture.centre, atol=1e-6)
    for name in classes.names:
        for signal, each in classes.references[name].signals.items():
            np.testing.assert_array_equal(
                found.classes.references[name].signals[signal].quantiles, each.quantiles
            )


def test_a_large_lake_gives_its_own_classes(classes: Classes) -> None:
    lake = lakes.lake(20_000, 26)
    shifted = {**lake.values.columns, "output_tokens": lake.values.columns["output_tokens"] + 1000}
    values = SignalTable(lake.values.account_id, lake.values.records, shifted)
    found = recalibrate(classes, values, lake.ranks).classes
    for name in classes.names:
        before = classes.references[name].signals["output_tokens"].quantiles[50]
        assert found.references[name].signals["output_tokens"].quantiles[50] == pytest.approx(
            before + 1000, abs=15
        )


def test_accounts_that_count_nothing_move_nothing(classes: Classes) -> None:
    clean = lakes.lake(seed=27)
    # Imitators: inside a class, with other answers.
    inside = lakes.CENTRES[0] + 0.2 * np.random.default_rng(3).normal(size=(79, 5))
    dirty = lakes.lake(seed=27, extra=inside)
    weight = np.where(dirty.truth == -1, 0.0, 1.0)
    base, plain, weighed = (
        recalibrate(classes, clean.values, clean.ranks).classes,
        recalibrate(classes, dirty.values, dirty.ranks).classes,
        recalibrate(classes, dirty.values, dirty.ranks, benign=weight).classes,
    )
    lists = base.best(base.assign(clean.ranks))[int(np.flatnonzero(clean.truth == 0)[0])]

    def low(found: Classes) -> float:
        return float(found.references[lists].signals["output_tokens"].quantiles[5])

    assert abs(low(weighed) - low(base)) < 5
    assert abs(low(plain) - low(base)) > 20


class TestWeights:
    def test_even_p_values_keep_their_weight(self) -> None:
        p = np.random.default_rng(1).random(4000)
        assert benign_weights(p, np.ones((4000, 1))).mean() > 0.98

    def test_an_excess_of_small_ones_loses_it_in_its_class_only(self) -> None:
        rng = np.random.default_rng(2)
        p = np.concatenate([rng.random(2000), np.full(100, 1e-4), rng.random(2000), [1e-4]])
        members = np.repeat(np.eye(2), [2100, 2001], axis=0)
        weights = benign_weights(p, members)
        assert weights[2000:2100].max() < 0.1
        assert weights[-1] > 0.5
        assert weights[:2000].mean() > 0.97

    def test_never_more_than_the_trimmed_share(self) -> None:
        p = np.concatenate([np.full(600, 1e-4), np.random.default_rng(3).random(400)])
        assert (1 - benign_weights(p, np.ones((1000, 1)))).sum() == pytest.approx(TRIM * 1000, rel=1e-6)

    def test_without_a_p_value_everybody_counts(self) -> None:
        np.testing.assert_array_equal(benign_weights(np.full(5, np.nan), np.ones((5, 1))), np.ones(5))
