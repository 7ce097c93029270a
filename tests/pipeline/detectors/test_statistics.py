"""False discovery rate, tails, distributions and references: against definitions and simulation."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, genpareto, norm

from pipeline.detectors.fdr import q_values
from pipeline.detectors.reference import Distribution, Reference
from pipeline.detectors.robust import shipped_references, shipped_scorecard
from pipeline.detectors.tail import NormalTail, ParetoTail
from pipeline.errors import LakeError
from pipeline.signals import SIGNALS, Population
from pipeline.signals.content import CONTENT


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_q_values_are_scipys(p: list[float]) -> None:
    np.testing.assert_allclose(q_values(np.array(p)), false_discovery_control(p), atol=1e-12)


def test_accounts_that_were_not_judged_do_not_count() -> None:
    p = np.array([0.01, np.nan, 0.2, np.nan])
    assert np.isnan(q_values(p)[[1, 3]]).all()
    np.testing.assert_allclose(q_values(p)[[0, 2]], q_values(p[[0, 2]]))


def test_the_rate_is_held_on_independent_p_values() -> None:
    rng = np.random.default_rng(8)
    false = []
    for _ in range(300):
        p = np.concatenate([rng.random(190), rng.random(10) * 1e-4])
        chosen = q_values(p) <= 0.1
        false.append(chosen[:190].sum() / max(chosen.sum(), 1))
    assert np.mean(false) < 0.12


@pytest.mark.parametrize("shape", [-0.15, 0.0, 0.3])
def test_a_pareto_tail_is_found_again(shape: float) -> None:
    scores = genpareto.rvs(shape, scale=2.0, size=40_000, random_state=3)
    tail = ParetoTail.fitted(scores, 0.9)
    far = genpareto.isf([0.01, 0.001], shape, scale=2.0)
    np.testing.assert_allclose(tail.p_value(far), [0.01, 0.001], rtol=0.35)
    assert tail.p_value(np.array([1e9]))[0] > 0


def test_a_few_attackers_hardly_move_the_normal_tail() -> None:
    rng = np.random.default_rng(4)
    clean = rng.normal(2, 3, 4000)
    dirty = np.concatenate([clean[:3760], np.full(240, 25.0)])
    far = np.array([norm.isf(1e-3) * 3 + 2])
    assert NormalTail.fitted(clean).p_value(far)[0] == pytest.approx(1e-3, rel=0.5)
    # 6 % of attackers: still a small p-value, and a larger one than without them.
    assert NormalTail.fitted(clean).p_value(far)[0] < NormalTail.fitted(dirty).p_value(far)[0] < 1e-2


def test_ranks_put_ties_in_the_middle() -> None:
    distribution = Distribution.of(np.array([0.0] * 50 + list(range(1, 51))))
    assert distribution.rank(np.array([0.0]))[0] == pytest.approx(0.25, abs=0.01)
    assert distribution.rank(np.array([25.0]))[0] == pytest.approx(0.745, abs=0.01)
    assert 0 < distribution.rank(np.array([-9.0]))[0] < distribution.rank(np.array([99.0]))[0] < 1
    assert np.isnan(distribution.rank(np.array([np.nan]))[0])


def test_median_and_deviation_of_a_distribution() -> None:
    values = np.random.default_rng(2).normal(5, 2, 3001)
    distribution = Distribution.of(values)
    assert distribution.median == pytest.approx(np.median(values), abs=0.05)
    assert distribution.mad == pytest.approx(np.median(np.abs(values - np.median(values))), abs=0.06)
    nobody = Distribution.of(np.array([np.nan]))
    assert (nobody.median, nobody.mad, nobody.accounts, nobody.missing) == (None, None, 0, 1)


def reference() -> Reference:
    rng = np.random.default_rng(6)
    signals = {name: Distribution.of(rng.normal(size=300)) for name in SIGNALS}
    return Reference("lake", signals, Distribution.of(rng.normal(size=300)), Population(7, tuple(range(256))))


def test_a_reference_comes_back_from_its_table_and_from_json() -> None:
    made = reference()
    table = made.to_table(datetime(2026, 1, 1))
    assert Reference.from_table(table, made.fingerprint).fingerprint == made.fingerprint
    assert Reference.from_json(json.loads(json.dumps(made.to_json()))).fingerprint == made.fingerprint


def test_a_changed_or_missing_reference_is_noticed() -> None:
    made = reference()
    rows = made.to_table(None).to_pylist()
    rows[3]["quantiles"][10] += 1e-9
    changed = made.to_table(None).from_pylist(rows, schema=made.to_table(None).schema)
    with pytest.raises(LakeError, match="rows were changed"):
        Reference.from_table(changed, made.fingerprint)
    with pytest.raises(LakeError, match="is not in reference_populations"):
        Reference.from_table(changed, "0" * 32)


def test_shipped_files_cover_every_signal_and_every_look() -> None:
    scorecard = shipped_scorecard()
    assert set(scorecard.curves) == set(SIGNALS) - set(CONTENT)
    references = shipped_references()
    assert set(references) == {"shipped", *(f"shipped-{n}" for n in (50, 100, 200, 400, 800))}
    for each in references.values():
        assert set(each.signals) == set(SIGNALS) - set(CONTENT)
        assert each.score is not None
        assert each.accounts > 100
