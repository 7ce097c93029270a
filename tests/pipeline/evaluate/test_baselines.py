"""Every baseline against its definition, and what all of them promise."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import mahalanobis

from pipeline.errors import UsageError
from pipeline.evaluate.accounts import Accounts, unit
from pipeline.evaluate.baselines import BASELINES, get_baseline
from pipeline.evaluate.baselines.cap import Cap
from pipeline.evaluate.baselines.isolation_forest import average_depth, isolation_scores
from pipeline.evaluate.baselines.mahalanobis import SHRINKAGE, Mahalanobis
from pipeline.evaluate.baselines.mmd import Mmd, RandomFeatures
from pipeline.evaluate.baselines.prada import one_minus_w, smallest_distances
from pipeline.evaluate.baselines.rules import RULES, Rules
from pipeline.evaluate.baselines.seat import Seat
from pipeline.evaluate.baselines.volume import Volume, busiest_hour
from pipeline.evaluate.labrai import as_accounts, draw
from pipeline.evaluate.worlds import EvaluationSettings, build_evaluation_world
from pipeline.simulate.content import default_topics

TOPICS = default_topics()


@pytest.fixture(scope="module")
def records() -> pa.Table:
    settings = EvaluationSettings(accounts=60, records=50, seed=3, attack_share=0.2, days=3)
    return pa.concat_tables(build_evaluation_world(settings).tables())


@pytest.fixture(scope="module")
def accounts(records: pa.Table) -> Accounts:
    return Accounts.of(records)


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return draw(TOPICS, TOPICS.sources, 1500, 77)


def changed(accounts: Accounts, **columns: object) -> Accounts:
    """The same records with other values in some columns."""
    table = accounts.table
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return Accounts(accounts.account_id, accounts.bounds, accounts.vectors, table)


def test_accounts_are_in_order_of_time_whatever_came_first(records: pa.Table, accounts: Accounts) -> None:
    order = np.random.default_rng(1).permutation(records.num_rows)
    again = Accounts.of(records.take(pa.array(order)))
    assert (again.vectors == accounts.vectors).all()
    assert again.table.equals(accounts.table)
    for i in (0, 7):
        mine = records.filter(pa.compute.equal(records["account_id"], accounts.account_id[i])).sort_by(
            "event_time"
        )
        expected = np.frombuffer(b"".join(mine["embedding"].to_pylist()), np.int8).reshape(-1, 384)
        assert (accounts.vectors_of(i) == expected).all()
    first = accounts.first(30)
    assert (first.records == 30).all()
    assert len(first) == (accounts.records >= 30).sum()
    assert (first.vectors_of(0) == accounts.vectors_of(int(np.argmax(accounts.records >= 30)))[:30]).all()


@pytest.mark.parametrize("name", BASELINES)
def test_scores_depend_on_nothing_but_the_records(name: str, records: pa.Table, pool: np.ndarray) -> None:
    accounts = Accounts.of(records)
    score = get_baseline(name).score(accounts, pool)
    assert score.shape == (len(accounts),)
    assert score.dtype == np.float64
    assert np.isfinite(score).mean() > 0.8
    assert len(np.unique(score[np.isfinite(score)])) > 10
    again = get_baseline(name).score(Accounts.of(records.slice(0)), pool)
    assert np.array_equal(again, score, equal_nan=True)


@pytest.mark.parametrize("name", BASELINES)
def test_records_without_metadata_are_scored_too(name: str, pool: np.ndarray) -> None:
    bare = as_accounts(draw(TOPICS, ["snips"], 200, 4), 50)
    score = get_baseline(name).score(bare, pool)
    assert np.isfinite(score).all()


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(UsageError, match="no baseline 'nothing'"):
        get_baseline("nothing")


def test_volume_is_the_number_of_records(accounts: Accounts, pool: np.ndarray) -> None:
    score = Volume().score(accounts, pool)
    assert (np.floor(score) == accounts.records).all()
    hour = accounts.numbers("event_time")[: accounts.bounds[1]] // 3_600_000_000
    assert busiest_hour(accounts)[0] == max(np.unique(hour, return_counts=True)[1])


def test_smallest_distances_look_back_only() -> None:
    vectors = draw(TOPICS, ["gsm8k", "snips"], 60, 5)
    vectors[40] = vectors[3]
    rows = unit(vectors).astype(float)
    expected = [min(np.linalg.norm(rows[i] - rows[j]) for j in range(i)) for i in range(1, 60)]
    assert smallest_distances(vectors) == pytest.approx(expected, abs=2e-3)
    assert smallest_distances(vectors)[39] < 1e-3


def test_prada_sees_two_heaps() -> None:
    fresh = draw(TOPICS, ["gsm8k"], 200, 6)
    repeating = np.concatenate([fresh[:100], fresh[:100]])
    assert one_minus_w(repeating) > 3 * one_minus_w(fresh)
    assert math.isnan(one_minus_w(fresh[:5]))
    assert math.isnan(one_minus_w(np.repeat(fresh[:1], 50, axis=0)))


def test_seat_counts_close_requests(pool: np.ndarray) -> None:
    fresh = draw(TOPICS, ["arena_hard"], 100, 7)
    half = np.concatenate([fresh[:50], fresh[:50]])
    score = Seat().score(as_accounts(np.concatenate([fresh, half]), 100), pool)
    assert score[0] < 0.1
    assert score[1] == pytest.approx(50 / 99, abs=0.05)


def test_mmd_is_the_mean_over_pairs_and_zero_for_the_pool_itself(pool: np.ndarray) -> None:
    own = draw(TOPICS, TOPICS.sources, 40 * 50, 8)
    other = draw(TOPICS, ["banking77"], 50, 9)
    score = Mmd().score(as_accounts(np.concatenate([own, other]), 50), pool)
    features = RandomFeatures(pool, 1)
    a, b = features(unit(other)).astype(float), features(unit(pool)).astype(float)
    inside = np.mean([a[i] @ a[j] for i in range(50) for j in range(50) if i != j])
    assert score[40] == pytest.approx(
        inside - 2 * (a @ b.T).mean() + b.mean(axis=0) @ b.mean(axis=0), abs=1e-5
    )
    assert abs(score[:40].mean()) < 3 * score[:40].std() / np.sqrt(40) + 1e-3
    assert score[40] > score[:40].max()


def test_mahalanobis_is_scipys(pool: np.ndarray) -> None:
    test = as_accounts(draw(TOPICS, ["banking77", "gsm8k"], 60, 10), 20)
    rows = unit(pool).astype(float)
    covariance = np.cov(rows, rowvar=False)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(384) * np.trace(covariance) / 384
    inverse, centre = np.linalg.inv(shrunk), rows.mean(axis=0)
    expected = [
        np.mean([mahalanobis(row, centre, inverse) ** 2 for row in unit(test.vectors_of(i)).astype(float)])
        for i in range(3)
    ]
    assert Mahalanobis().score(test, pool) == pytest.approx(expected, rel=1e-3)


def test_cap_is_one_for_the_pools_own_breadth(pool: np.ndarray) -> None:
    broad = draw(TOPICS, TOPICS.sources, 1000, 11)
    narrow = np.repeat(draw(TOPICS, ["gsm8k"], 5, 12), 40, axis=0)
    score = Cap().score(as_accounts(np.concatenate([broad, narrow]), 200), pool)
    assert score[:5] == pytest.approx(1, abs=0.12)
    assert score[5] < 0.1


def test_isolation_forest_isolates() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(300, 6))
    values[17] += 6
    score = isolation_scores(values, 1)
    assert score.argmax() == 17
    assert 0.35 < np.median(score) < 0.55
    # The mean depth of an unsuccessful search in a tree of 256 is the known constant.
    assert average_depth(256) == pytest.approx(10.24, abs=0.02)


def test_each_rule_moves_the_score_by_its_weight_and_not_more(accounts: Accounts, pool: np.ndarray) -> None:
    assert len(RULES) == 16
    rows = accounts.table.num_rows
    quiet = changed(accounts, reasoning_requested=np.zeros(rows, bool))
    loud = changed(accounts, reasoning_requested=np.ones(rows, bool))
    weight = RULES["elicitation of reasoning"][0] / sum(rule[0] for rule in RULES.values())
    assert Rules().score(loud, pool) - Rules().score(quiet, pool) == pytest.approx(weight)
    alone = changed(accounts, payment_id=[f"p-{owner}" for owner in accounts.owner()])
    together = changed(accounts, payment_id=["p"] * rows)
    weight = RULES["shared payment"][0] / sum(rule[0] for rule in RULES.values())
    assert Rules().score(together, pool) - Rules().score(alone, pool) == pytest.approx(weight)
