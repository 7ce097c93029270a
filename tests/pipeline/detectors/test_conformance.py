"""What every detector of the registry must do."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from pipeline.detectors import DETECTORS, get_detector
from pipeline.detectors.base import MIN_RECORDS, Detector
from pipeline.detectors.forest import ForestDetector
from pipeline.detectors.robust import LAKE, shipped_references
from pipeline.errors import UsageError
from pipeline.signals import Population, SignalTable
from pipeline.signals.every import EVERY


def table(n: int = 300, seed: int = 5) -> SignalTable:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=n) for name in EVERY}
    columns["template_share"][rng.random(n) < 0.3] = np.nan
    columns["reasoning_share"] = np.where(rng.random(n) < 0.5, 0.0, columns["reasoning_share"])
    return SignalTable(
        np.array([f"a{i:04}" for i in range(n)], object), rng.integers(MIN_RECORDS, 900, n), columns
    )


def rows(of: SignalTable, index: list[int]) -> SignalTable:
    return SignalTable(
        of.account_id[index], of.records[index], {name: values[index] for name, values in of.columns.items()}
    )


# Whom a detector judges by. The forest ranks in lakes alone: the shipped population has not the signals it asks for, and
# what it says then has a test of its own.
CASES = [
    (name, by) for name in DETECTORS for by in ("lake", "shipped") if (name, by) != ("forest", "shipped")
]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def detector(case: tuple[str, str]) -> Detector:
    return get_detector(case[0])


@pytest.fixture
def reference(case: tuple[str, str], detector: Detector):  # type: ignore[no-untyped-def]
    if case[1] == "shipped":
        return shipped_references()["shipped"]
    return detector.reference(LAKE, table(), Population.empty())


def test_a_forest_says_nothing_by_a_population_without_its_signals() -> None:
    judged = get_detector("forest").judge(table(), shipped_references()["shipped"])
    assert np.isnan(judged.score).all()
    # Not 1 either: that would clear everybody.
    assert np.isnan(judged.p_value).all()


def test_it_is_deterministic(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    one, two = detector.judge(table(), reference), get_detector(detector.name).judge(table(), reference)
    np.testing.assert_array_equal(one.score, two.score)
    np.testing.assert_array_equal(one.p_value, two.p_value)
    assert detector.fingerprint == get_detector(detector.name).fingerprint


def test_the_input_is_left_alone(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    given = table()
    kept = copy.deepcopy(given)
    fingerprint = reference.fingerprint
    detector.judge(given, reference)
    for name in EVERY:
        np.testing.assert_array_equal(given.columns[name], kept.columns[name])
    assert reference.fingerprint == fingerprint


def test_one_account_is_judged_as_among_others(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    together = detector.judge(table(), reference)
    for row in (0, 7, 299):
        alone = detector.judge(rows(table(), [row]), reference)
        assert alone.score[0] == together.score[row]
        assert alone.p_value[0] == together.p_value[row]


def test_order_does_not_matter(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    order = np.random.default_rng(1).permutation(300).tolist()
    there = detector.judge(rows(table(), order), reference)
    np.testing.assert_array_equal(there.score, detector.judge(table(), reference).score[order])


def test_nobody_gives_nothing(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    judged = detector.judge(rows(table(), []), reference)
    assert len(judged) == 0
    nobody = detector.reference(LAKE, rows(table(), []), Population.empty())
    assert np.isnan(detector.judge(table(4), nobody).score).all()


def test_too_few_records_are_not_judged(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    thin = table()
    thin.records[:10] = MIN_RECORDS - 1
    judged = detector.judge(thin, reference)
    assert np.isnan(judged.score[:10]).all()
    assert np.isnan(judged.p_value[:10]).all()
    assert np.isfinite(judged.p_value[10:]).all()


def test_too_few_signals_are_not_judged(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    blind = table()
    for name in list(EVERY)[:-2]:
        blind.columns[name][:5] = np.nan
    judged = detector.judge(blind, reference)
    assert np.isnan(judged.score[:5]).all()
    assert np.isfinite(judged.score[5:]).all()


def test_contributions_add_up_and_p_values_fall_with_the_score(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    judged = detector.judge(table(), reference)
    forest = isinstance(detector, ForestDetector)
    base = detector.forest.trees.base if forest else 0.0
    # Each of some eighty parts and the score are rounded to nine digits.
    np.testing.assert_allclose(base + sum(judged.contributions.values()), judged.score, atol=1e-7)
    order = np.argsort(judged.score)
    p_value = judged.p_value[order]
    if forest:
        # Whose like an account is counts too: of the same class, the higher score has the lower p-value.
        same = np.repeat(detector.memberships(rows(table(), [0]), reference), len(order), axis=0)
        p_value = detector._p_values(judged.score[order], same, reference)
    assert (np.diff(p_value) <= 1e-12).all()
    assert ((judged.p_value > 0) & (judged.p_value <= 1)).all()


def test_a_signal_without_a_value_adds_nothing(detector: Detector, reference) -> None:  # type: ignore[no-untyped-def]
    given = table()
    judged = detector.judge(given, reference)
    missing = np.isnan(given.columns["template_share"])
    # The trees see a missing value as one in the middle, which says something too.
    if not isinstance(detector, ForestDetector):
        assert (judged.contributions["template_share"][missing] == 0).all()
    assert np.isnan(judged.ranks["template_share"][missing]).all()


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(UsageError, match="no detector 'magic'; there are forest, robust"):
        get_detector("magic")
