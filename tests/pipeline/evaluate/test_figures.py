"""The report's figures against plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evaluate.figures import (
    area,
    benign_tail,
    over_seeds,
    queue_precision,
    queue_recall,
    share_over_seeds,
    threshold_per_class,
    wilson,
)


def test_area_counts_pairs() -> None:
    rng = np.random.default_rng(1)
    score = rng.integers(0, 6, 80).astype(float)
    attack = rng.random(80) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in score[attack] for b in score[~attack]]
    assert area(score, attack) == pytest.approx(np.mean(pairs))
    assert math.isnan(area(score, np.zeros(80, bool)))


def test_a_threshold_on_the_tail_accuses_no_more_than_it_says() -> None:
    rng = np.random.default_rng(2)
    # Many ties, and some without a score.
    score = np.round(rng.normal(size=1000), 1)
    score[::7] = np.nan
    attack = rng.random(1000) < 0.1
    tail = benign_tail(score, attack)
    for rate in (0.01, 0.05, 0.3):
        assert (tail[~attack] <= rate).mean() <= rate
    best = int(np.nanargmax(score))
    assert tail[best] == ((score >= score[best]) & ~attack).sum() / (~attack).sum()
    assert (tail[::7] == 1).all()
    # All the same: nobody can be found without accusing everybody.
    assert (benign_tail(np.zeros(1000), attack) == 1).all()


def test_no_class_is_accused_above_the_rate() -> None:
    rng = np.random.default_rng(3)
    names = np.array(["a"] * 703 + ["b"] * 197 + ["c"] * 30, object)
    tail = rng.random(930)
    tail[names == "b"] **= 3
    limit = threshold_per_class(tail, names, 0.05)
    rates = {name: (tail[names == name] <= limit).mean() for name in "abc"}
    assert max(rates.values()) <= 0.05
    # And it is the largest such threshold: one more account breaks it.
    following = tail[tail > limit].min()
    assert max((tail[names == name] <= following).mean() for name in "abc") > 0.05


def test_the_queue_is_read_from_its_top() -> None:
    score = np.array([9.0, 8, 7, np.nan, 5, 4, 3, 2, 1, 0])
    attack = np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    assert queue_recall(score, attack, 0.1) == pytest.approx(1 / 3)
    assert queue_recall(score, attack, 0.3) == pytest.approx(2 / 3)
    assert queue_recall(score, attack, 0.9) == pytest.approx(2 / 3)  # no score, no place
    assert queue_precision(score, attack, 2) == 0.5
    assert math.isnan(queue_recall(score, np.zeros(10, bool), 0.5))


def test_intervals_hold_the_value_and_widen_with_disagreeing_worlds() -> None:
    low, high = wilson(0, 100)
    assert low == 0
    assert high == pytest.approx(0.0370, abs=1e-3)
    same = share_over_seeds([(10, 100), (10, 100), (10, 100)])
    apart = share_over_seeds([(0, 100), (30, 100), (0, 100)])
    assert same.value == apart.value == 0.1
    assert same.low < 0.1 < same.high
    assert apart.high - apart.low > 2 * (same.high - same.low)
    # Equal worlds: Student's interval of the three shares. A world with few accounts hardly counts.
    assert apart.high == pytest.approx(0.1 + 4.3027 * 0.3 / math.sqrt(3) / math.sqrt(3), abs=1e-3)
    uneven = share_over_seeds([(10, 100), (10, 100), (1, 1)])
    assert uneven.high - uneven.low < 1.5 * (same.high - same.low)
    assert share_over_seeds([(0, 0)]).to_json()["value"] is None
    mean = over_seeds([0.8, math.nan, 0.9])
    assert mean.value == pytest.approx(0.85)
    assert mean.low == pytest.approx(0.85 - 12.706 * 0.05, abs=1e-3)
    assert mean.high == 1.0
