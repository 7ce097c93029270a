from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from pipeline.clusters import candidates
from pipeline.clusters.candidates import candidate_pairs, nearest
from pipeline.clusters.pairs import PairReader


def plain(vectors: np.ndarray, count: int) -> np.ndarray:
    """All pairs, one account after the other."""
    exact = vectors.astype(np.int64) @ vectors.astype(np.int64).T
    out = np.full((len(vectors), count), -1, np.int64)
    for row in range(len(vectors)):
        others = [i for i in range(len(vectors)) if i != row and exact[row, i] > 0]
        best = sorted(others, key=lambda i: (-exact[row, i], i))[:count]
        out[row, : len(best)] = best
    return out


def integers(n: int, d: int, seed: int, size: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(-size, size, (n, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "d", "count"), [(2, 3, 5), (40, 4, 3), (300, 16, 7)])
def test_blocks_give_what_all_pairs_give(n: int, d: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_ROWS", 16)
    monkeypatch.setattr(candidates, "_COLUMNS", 24)
    vectors = integers(n, d, seed=n)
    vectors[n // 3] = 0
    vectors[n // 2] = vectors[0]
    assert np.array_equal(nearest(vectors, count), plain(vectors, count))


def test_equal_products_go_to_the_earlier_account() -> None:
    vectors = np.ones((50, 4), np.float32)
    assert nearest(vectors, 3)[10].tolist() == [0, 1, 2]


def test_a_screen_that_keeps_every_dimension_loses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SCREEN_FROM", 10)
    monkeypatch.setattr(candidates, "_ROWS", 64)
    vectors = integers(400, 12, seed=5, size=200)
    assert np.array_equal(nearest(vectors, 6), plain(vectors, 6))


def test_a_narrow_screen_keeps_nearly_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SCREEN_FROM", 10)
    monkeypatch.setattr(candidates, "SCREEN_DIMENSIONS", 12)
    rng = np.random.default_rng(3)
    # Twelve directions and a little of forty more.
    vectors = rng.normal(size=(900, 12)) @ rng.normal(size=(12, 52)) * 20 + rng.normal(size=(900, 52)) * 5
    vectors = np.rint(vectors).astype(np.float32)
    wanted, found = plain(vectors, 8), nearest(vectors, 8)
    kept = sum(len(np.intersect1d(one, two)) for one, two in zip(wanted, found, strict=True))
    assert kept / wanted.size > 0.97


def test_many_accounts_are_ordered_as_few_are() -> None:
    # Past 2**19 accounts a pair does not fit one number, and three columns are sorted.
    rng = np.random.default_rng(2)
    one, two = rng.integers(0, 50, (2, 400))
    value = rng.integers(-5, 20, 400).astype(np.float32)
    few = candidates._ordered(one, two, value, 50)
    many = candidates._ordered(one, two, value, 1 << 30)
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=True))


def test_accounts_behind_one_rare_network_or_payment_are_candidates(lake) -> None:
    ties = lake.ties()
    reader = PairReader(ties, lake.payments)
    one, two = candidate_pairs(reader)
    pairs = set(zip(one.tolist(), two.tolist(), strict=True))
    assert all(a < b for a, b in pairs)
    row = {name: i for i, name in enumerate(ties.account_id)}
    for i in range(0, 120, 2):
        assert (row[f"user-{i:03d}"], row[f"user-{i + 1:03d}"]) in pairs


def test_values_in_common_are_bounded_per_account() -> None:
    everybody = sparse.csr_array(np.ones((60, 1), np.float32))
    keys = candidates._tied(everybody, 60)
    degree = np.bincount(np.concatenate([keys // 60, keys % 60]), minlength=60)
    # Everybody keeps the earliest ones, and is kept by the others if it is among those.
    assert degree.min() >= candidates.TIED
    assert len(np.unique(keys)) <= 60 * candidates.TIED
