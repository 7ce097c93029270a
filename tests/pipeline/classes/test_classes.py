"""Mixture, names, memberships, shrinkage: against definitions, limits and symmetries."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import synthetic_lakes as lakes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t

from pipeline.classes import Classes, shrunk
from pipeline.classes.classes import STRENGTH
from pipeline.classes.mixture import Mixture, Prior, step
from pipeline.classes.names import PORTRAITS, name_classes
from pipeline.classes.space import SPACE
from pipeline.detectors.reference import Distribution, Reference
from pipeline.signals.every import EVERY


@pytest.fixture(scope="module")
def classes() -> Classes:
    return lakes.shipped()


class TestMixture:
    MIXTURE = Mixture(
        np.array([0.7, 0.3]),
        np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]]),
        np.array([[1.0, 0.5, 2.0], [0.7, 1.5, 1.0]]),
    )

    def test_density_is_scipys(self) -> None:
        rows = np.random.default_rng(1).normal(size=(20, 3))
        found = self.MIXTURE.log_density(rows)
        for k in range(2):
            other = multivariate_t(self.MIXTURE.centre[k], np.diag(self.MIXTURE.scale[k] ** 2), df=4).logpdf(
                rows
            )
            np.testing.assert_allclose(found[:, k], other)

    def test_missing_numbers_are_left_out(self) -> None:
        row = np.array([[0.3, np.nan, -0.4]])
        for k in range(2):
            keep = [0, 2]
            other = multivariate_t(
                self.MIXTURE.centre[k][keep], np.diag(self.MIXTURE.scale[k][keep] ** 2), df=4
            )
            assert self.MIXTURE.log_density(row)[0, k] == pytest.approx(other.logpdf(row[0, keep]))

    def test_a_row_without_numbers_belongs_to_the_shares(self) -> None:
        np.testing.assert_allclose(self.MIXTURE.memberships(np.full((1, 3), np.nan))[0], [0.7, 0.3])

    def test_steps_climb(self) -> None:
        rows = np.concatenate([np.random.default_rng(2).normal(m, 1, (150, 3)) for m in (-1.5, 1.5)])
        mixture, heights = self.MIXTURE, []
        for _ in range(15):
            heights.append(mixture.likelihood(rows).mean())
            mixture = step(mixture, rows, np.ones(len(rows)))
        assert (np.diff(heights) > -1e-6).all()
        assert heights[-1] > heights[0]

    def test_a_strong_prior_stays_and_no_prior_goes(self) -> None:
        rows = np.random.default_rng(3).normal(1, 1, (200, 3))
        prior = Prior(self.MIXTURE, np.full(2, 1e9))
        np.testing.assert_allclose(
            step(self.MIXTURE, rows, np.ones(200), prior).centre, self.MIXTURE.centre, atol=1e-5
        )
        assert np.abs(step(self.MIXTURE, rows, np.ones(200)).centre - self.MIXTURE.centre).max() > 0.5

    def test_what_is_missing_pulls_nowhere(self) -> None:
        rows = np.random.default_rng(5).normal(2.0, 0.5, (400, 3))
        rows[40:, 1] = np.nan
        mixture = Mixture(np.ones(1), np.zeros((1, 3)), np.ones((1, 3)))
        for _ in range(20):
            mixture = step(mixture, rows, np.ones(400))
        np.testing.assert_allclose(mixture.centre[0], 2.0, atol=0.25)

    def test_weight_zero_leaves_out(self) -> None:
        rows = np.random.default_rng(4).normal(size=(100, 3))
        weight = (np.arange(100) < 60).astype(float)
        one, two = step(self.MIXTURE, rows, weight), step(self.MIXTURE, rows[:60], np.ones(60))
        np.testing.assert_allclose(one.centre, two.centre, atol=1e-8)


class TestMemberships:
    def test_sum_to_one_and_find_the_truth(self, classes: Classes) -> None:
        lake = lakes.lake(seed=9)
        members = classes.assign(lake.ranks)
        np.testing.assert_allclose(members.sum(axis=1), 1)
        best = members.argmax(axis=1)
        table = np.array([[(best[lake.truth == t] == k).mean() for k in range(3)] for t in range(3)])
        assert (table.max(axis=1) > 0.9).all()
        assert len(set(table.argmax(axis=1))) == 3

    def test_accounts_do_not_see_each_other(self, classes: Classes) -> None:
        lake = lakes.lake(200, 3)
        order = np.random.default_rng(0).permutation(200)
        np.testing.assert_array_equal(
            classes.assign(lake.ranks)[order], classes.assign(lake.ranks.take(order))
        )

    def test_without_records_an_account_is_of_the_population(self, classes: Classes) -> None:
        lake = lakes.lake(50, 4)
        none, few, many = (
            classes.assign(replace(lake.ranks, records=np.full(50, n))) for n in (0, 60, 10**9)
        )
        np.testing.assert_allclose(none, np.tile(classes.mixture.share, (50, 1)), atol=1e-8)
        np.testing.assert_allclose(many, classes.mixture.memberships(classes.scores(lake.ranks)), atol=1e-6)
        assert none.max(axis=1).mean() < few.max(axis=1).mean() < many.max(axis=1).mean()

    def test_a_lake_without_the_signals_has_shares(self, classes: Classes) -> None:
        blank = lakes.table({"output_tokens": np.arange(3.0)})
        np.testing.assert_allclose(classes.assign(blank), np.tile(classes.mixture.share, (3, 1)), atol=1e-8)

    def test_rank_within_is_the_mixture_of_the_classes(self, classes: Classes) -> None:
        lake = lakes.lake(40, 6)
        members = classes.assign(lake.ranks)
        found = classes.ranks_within(lake.values, members)["output_tokens"]
        each = np.stack(
            [one.signals["output_tokens"].rank(lake.values.columns["output_tokens"]) for one in classes.each],
            1,
        )
        np.testing.assert_allclose(found, (each * members).sum(axis=1))
        higher = replace(lake.values, columns={"output_tokens": lake.values.columns["output_tokens"] + 30})
        assert (classes.ranks_within(higher, members)["output_tokens"] >= found).all()

    def test_members_fit_evenly_and_strangers_badly(self, classes: Classes) -> None:
        lake = lakes.lake(2000, 8)
        fit = (classes.fit(lake.ranks) * classes.assign(lake.ranks)).sum(axis=1)
        assert 0.4 < fit.mean() < 0.6
        strange = lakes.table(
            {
                name: np.full(1, rank)
                for name, rank in zip(lakes.SIGNALS, (0.99, 0.01, 0.99, 0.99, 0.99), strict=True)
            }
        )
        assert classes.fit(strange).max() < 0.05


class TestShrinkage:
    SHIPPED = Distribution.of(np.arange(101.0), 101)

    def test_nobody_gives_what_was_shipped(self) -> None:
        assert shrunk(np.array([5.0]), np.zeros(1), self.SHIPPED) is self.SHIPPED

    def test_many_give_their_own(self) -> None:
        own = 1000 + np.random.default_rng(1).random(400_000)
        found = shrunk(own, np.ones(len(own)), self.SHIPPED).quantiles
        np.testing.assert_allclose(found[1:], np.quantile(own, np.linspace(0, 1, 101))[1:], atol=0.02)

    @given(st.integers(1, 400))
    @settings(max_examples=20, deadline=None)
    def test_in_between_it_is_the_mixture(self, accounts: int) -> None:
        found = shrunk(np.full(accounts, 1000.0), np.ones(accounts), self.SHIPPED)
        assert found.rank(np.array([500.0]))[0] == pytest.approx(STRENGTH / (STRENGTH + accounts), abs=0.02)

    def test_missing_values_stay_missing(self) -> None:
        half = Distribution(np.arange(101.0), 60, 60)
        mixed = shrunk(np.arange(50.0), np.ones(50), half)
        assert (mixed.accounts, mixed.missing) == (75, 25)
        found = shrunk(np.full(50, np.nan), np.ones(50), self.SHIPPED)
        assert (found.accounts, found.missing) == (50, 50)
        np.testing.assert_array_equal(found.quantiles, self.SHIPPED.quantiles)


class TestNames:
    def test_a_portrait_is_named_after_itself(self) -> None:
        centres = np.array([[PORTRAITS[name].get(signal, 0.0) for signal in SPACE] for name in PORTRAITS])
        assert name_classes(centres, SPACE) == list(PORTRAITS)

    def test_no_name_twice_and_strangers_by_their_signals(self) -> None:
        niche = [PORTRAITS["one narrow subject (niche)"].get(signal, 0.0) for signal in SPACE]
        strange = [3.0 if signal == "reasoning_share" else 0.0 for signal in SPACE]
        found = name_classes(np.array([niche, strange, strange]), SPACE)
        assert found[0] == "one narrow subject (niche)"
        assert found[1].startswith("high reasoning share")
        assert found[2] == f"{found[1]} (2)"

    def test_portraits_speak_of_signals_of_the_space_and_the_space_of_signals_in_use(self) -> None:
        assert {signal for portrait in PORTRAITS.values() for signal in portrait} <= set(SPACE) <= set(EVERY)


def test_classes_come_back_from_json_and_from_the_table_of_a_reference(classes: Classes) -> None:
    again = Classes.from_json(json.loads(json.dumps(classes.to_json())))
    assert again.fingerprint == classes.fingerprint
    whole = Reference.of("lake", lakes.lake(100).values, Reference("x", {}).population)
    made = whole.with_classes(classes.references)
    assert made.fingerprint != whole.fingerprint
    table = made.to_table(datetime(2026, 1, 1))
    assert {row["benign_class"] for row in table.to_pylist()} == {None, *classes.names}
    found = Reference.from_table(table, made.fingerprint)
    assert Classes(found.classes, {}).fingerprint == classes.fingerprint
    other = Reference.from_json(json.loads(json.dumps(made.to_json())))
    assert other.fingerprint == made.fingerprint
    assert Classes(other.classes, {}).fingerprint == classes.fingerprint
    rank = lakes.lake(30, 2).ranks
    np.testing.assert_array_equal(Classes(found.classes, {}).assign(rank), classes.assign(rank))
