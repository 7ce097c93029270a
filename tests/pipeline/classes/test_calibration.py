"""p-values among one's like."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classes import ClassNull
from pipeline.detectors.fdr import q_values
from pipeline.errors import UsageError

NAMES = ("quiet", "loud")


def two_classes(n: int, seed: int, loud: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Scores and memberships: the loud class scores 2 higher."""
    rng = np.random.default_rng(seed)
    which = (rng.random(n) < loud).astype(int)
    return rng.normal(2.0 * which, 1.0), np.eye(2)[which]


@pytest.fixture(scope="module")
def null() -> ClassNull:
    return ClassNull.fitted(*two_classes(25_000, 1), NAMES)


def test_rates_are_nominal_in_each_class_where_pooled_ones_are_not(null: ClassNull) -> None:
    scores, members = two_classes(100_000, 2)
    mine, pooled = null.p_value(scores, members), null.pooled(scores)
    for k in range(2):
        inside = members[:, k] == 1
        for level in (0.05, 0.01):
            assert (mine[inside] <= level).mean() == pytest.approx(level, rel=0.3)
        # Far out the share of the pool makes the quiet class's values larger: careful, not exact.
        assert 0.0003 < (mine[inside] <= 0.001).mean() < 0.0015
    assert (pooled[members[:, 0] == 1] <= 0.05).mean() < 0.005
    assert (pooled[members[:, 1] == 1] <= 0.05).mean() > 0.12


def test_p_values_are_small_enough_for_many_thousand_accounts(null: ClassNull) -> None:
    scores, members = two_classes(20_000, 3)
    scores[:20], members[:20] = 8.0, [0.0, 1.0]
    q = q_values(null.p_value(scores, members))
    assert (q[:20] <= 0.05).all()
    assert (q[20:] <= 0.05).sum() <= 5


@given(st.lists(st.floats(-5, 12), min_size=2, max_size=30), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_higher_score_never_has_a_larger_p_value(scores: list[float], share: float) -> None:
    made = ClassNull.fitted(*two_classes(3000, 4), NAMES)
    ordered = np.sort(np.array(scores))
    p = made.p_value(ordered, np.tile([share, 1 - share], (len(ordered), 1)))
    assert (np.diff(p) <= 1e-12).all()
    assert ((p > 0) & (p <= 1)).all()


def test_a_small_class_has_the_pooled_value_and_a_large_one_its_own() -> None:
    scores, members = two_classes(20_000, 5, loud=0.005)
    small = ClassNull.fitted(scores, members, NAMES)
    at = np.linspace(-2, 5, 50)
    np.testing.assert_array_equal(small.p_value(at, np.tile([0.0, 1.0], (50, 1))), small.pooled(at))
    large = ClassNull.fitted(*two_classes(200_000, 6, loud=0.5), NAMES)
    own = large.each[1]
    assert own is not None
    np.testing.assert_allclose(large.p_value(at, np.tile([0.0, 1.0], (50, 1))), own(at), rtol=0.01, atol=5e-4)


def test_strength_pulls_to_the_pool() -> None:
    scores, members = two_classes(4000, 7)
    at, loud = np.array([3.0]), np.array([[0.0, 1.0]])
    found = [
        ClassNull.fitted(scores, members, NAMES, strength=s).p_value(at, loud)[0] for s in (0, 100, 1e12)
    ]
    pooled = ClassNull.fitted(scores, members, NAMES).pooled(at)[0]
    assert found[0] > found[1] > found[2]
    assert found[2] == pytest.approx(pooled)


def test_order_and_weights() -> None:
    scores, members = two_classes(3000, 8)
    order = np.random.default_rng(1).permutation(3000)
    at = np.linspace(-3, 6, 40)
    mix = np.full((40, 2), 0.5)
    base = ClassNull.fitted(scores, members, NAMES)
    np.testing.assert_allclose(
        ClassNull.fitted(scores[order], members[order], NAMES).p_value(at, mix), base.p_value(at, mix)
    )
    twice = ClassNull.fitted(
        np.append(scores, scores + 50),
        np.vstack([members, members]),
        NAMES,
        weights=np.repeat([1.0, 0.0], 3000),
    )
    np.testing.assert_allclose(twice.p_value(at, mix), base.p_value(at, mix))


def test_ties_share_a_value_and_no_value_stays_none() -> None:
    scores = np.repeat([0.0, 1.0, 2.0], 400)
    made = ClassNull.fitted(scores, np.ones((1200, 1)), ("all",))
    p = made.p_value(np.array([-1.0, 0.0, 1.0, 2.0, np.nan, 2.5]), np.ones((6, 1)))
    assert p[0] == p[1] == pytest.approx(1.0)
    assert p[2] == pytest.approx(2 / 3, abs=0.01)
    assert p[3] == pytest.approx(0.1, abs=0.03) or p[3] == pytest.approx(1 / 3, abs=0.01)
    assert np.isnan(p[4])
    assert p[5] < p[3]


def test_it_comes_back_from_json(null: ClassNull) -> None:
    again = ClassNull.from_json(json.loads(json.dumps(null.to_json())))
    assert again.fingerprint == null.fingerprint
    scores, members = two_classes(100, 9)
    np.testing.assert_array_equal(again.p_value(scores, members), null.p_value(scores, members))


def test_too_few_scores_are_refused() -> None:
    with pytest.raises(UsageError, match="200 scores calibrate nothing"):
        ClassNull.fitted(*two_classes(200, 10), NAMES)
