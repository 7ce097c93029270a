"""Readings against the plain formula on the records behind the profiles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline import readings
from pipeline.engine import Engine
from pipeline.errors import SpaceMismatch, UsageError
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.spaces import EmbeddingSpace


@pytest.fixture(scope="module")
def wide():
    return Parameters.generate(EmbeddingSpace("wide", 64))


@pytest.fixture(scope="module")
def profile_of(wide, rows_of, table_of):
    """int8[n, d] -> one profile."""

    def make(vectors, **columns):
        rows = rows_of(np.random.default_rng(0), len(vectors), space=wide.space, accounts=("a",), hours=1)
        for number, row in enumerate(rows):
            row["embedding"] = vectors[number].tobytes()
            row |= {name: values[number] for name, values in columns.items()}
        return Engine(wide).profiles(table_of(rows, wide.space))

    return make


def vectors(n, seed, wide, vectors_of, spread=1.0):
    q = vectors_of(np.random.default_rng(seed), n, wide.space).astype(float) * spread
    q += wide.space.scale * np.eye(64)[0] * (1 - spread)
    q *= wide.space.scale / np.linalg.norm(q, axis=1, keepdims=True)
    return np.clip(np.rint(q), -127, 127).astype(np.int8)


@pytest.mark.parametrize("spread", [1.0, 0.3])
def test_mean_pairwise_cosine(wide, profile_of, vectors_of, spread):
    q = vectors(40, 1, wide, vectors_of, spread)
    unit = q / np.linalg.norm(q.astype(float), axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(40, k=1)]
    assert readings.mean_pairwise_cosine(profile_of(q))[0] == pytest.approx(pairs.mean(), abs=2e-3)


def test_equal_records_have_cosine_one_exactly(wide, profile_of, vectors_of):
    q = np.repeat(vectors(1, 2, wide, vectors_of), 1000, axis=0)
    profile = profile_of(q)
    # Nearly equal large numbers are subtracted here: 1000**2 and 1000 times |q|^2.
    assert readings.mean_pairwise_cosine(profile)[0] == 1.0
    assert readings.effective_rank(profile)[0] == pytest.approx(1.0, abs=1e-9)
    assert readings.participation_ratio(profile)[0] == pytest.approx(1.0, abs=1e-9)


def test_moment_matrices_are_the_mean_outer_products(wide, profile_of, vectors_of):
    q = vectors(30, 3, wide, vectors_of).astype(np.int64)
    y = q @ wide.projection.astype(np.int64) >> wide.shift
    np.testing.assert_allclose(readings.moment_matrices(profile_of(q.astype(np.int8)))[0], y.T @ y / 30)


def test_ranks(wide, profile_of, vectors_of):
    full = profile_of(vectors(600, 4, wide, vectors_of))
    values = np.linalg.eigvalsh(readings.moment_matrices(full)[0])
    share = values / values.sum()
    assert readings.effective_rank(full)[0] == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert readings.participation_ratio(full)[0] == pytest.approx(1 / (share**2).sum())
    narrow = profile_of(vectors(600, 4, wide, vectors_of, 0.2))
    assert 1 <= readings.effective_rank(narrow)[0] < 4 < 15 < readings.effective_rank(full)[0] <= 32


def test_mmd2_is_near_the_gaussian_kernel(wide, profile_of, vectors_of):
    one, two = vectors(150, 5, wide, vectors_of), vectors(180, 6, wide, vectors_of, 0.4)
    gamma = 1 / (2 * (1.3 * wide.space.scale) ** 2)

    def kernel(a, b):
        a, b = a.astype(float), b.astype(float)
        return np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(axis=2))

    plain = kernel(one, one).mean() + kernel(two, two).mean() - 2 * kernel(one, two).mean()
    a, b = profile_of(one), profile_of(two)
    assert readings.mmd2(a, b, unbiased=False)[0] == pytest.approx(
        plain, abs=0.04
    )  # 256 features: about 1 / sqrt(256) of the kernel
    off = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (kernel(one, one), kernel(two, two))]
    assert readings.mmd2(a, b)[0] == pytest.approx(
        sum(off) - 2 * kernel(one, two).mean(), abs=0.04
    )  # 256 features: about 1 / sqrt(256) of the kernel
    assert readings.mmd2(a, a, unbiased=False)[0] == 0.0
    same = readings.mmd2(a, profile_of(vectors(150, 7, wide, vectors_of)))[0]
    assert abs(same) < 0.01 < readings.mmd2(a, b)[0]
    assert readings.centroid_cosine(a, a)[0] == pytest.approx(1.0)
    expected = np.dot(
        *(
            q.sum(axis=0) / np.linalg.norm(q.astype(float).sum(axis=0))
            for q in (one.astype(int), two.astype(int))
        )
    )
    assert readings.centroid_cosine(a, b)[0] == pytest.approx(expected)


def test_entropy_good_turing_and_shares(wide, profile_of, vectors_of):
    q = vectors(6, 8, wide, vectors_of)
    profile = profile_of(q, output_tokens=[1, 1, 1, 1, 8, 900])
    name = "output_tokens_histogram"
    plain = -(4 / 6 * math.log(4 / 6) + 2 * (1 / 6) * math.log(1 / 6))
    assert readings.entropy(profile, name)[0] == pytest.approx(plain + 2 / 12)
    assert readings.good_turing(profile, name)[0] == pytest.approx(2 / 6)
    assert readings.dominant_share(profile, name)[0] == pytest.approx(4 / 6)
    assert readings.topic_entropy(profile)[0] == readings.entropy(profile, "topic_count")[0]


def test_distinct_counts_and_overlap(wide, profile_of, vectors_of):
    rng = np.random.default_rng(9)
    hashes = [int(value) for value in rng.integers(0, 2**64, 1500, dtype=np.uint64)]
    q = vectors(1000, 9, wide, vectors_of)
    many, few = profile_of(q, prompt_hash=hashes[:1000]), profile_of(q[:50], prompt_hash=hashes[:25] * 2)
    assert readings.distinct_count(many, "prompt_distinct")[0] == pytest.approx(1000, rel=0.3)
    assert readings.distinct_count(few, "prompt_distinct")[0] == 25
    other = profile_of(q, prompt_hash=hashes[500:1500])
    found = readings.sketch_overlap(many.distinct["prompt_distinct"][0], other.distinct["prompt_distinct"][0])
    assert found == pytest.approx(500 / 1500, abs=0.2)
    assert (
        readings.sketch_overlap(many.distinct["prompt_distinct"][0], many.distinct["prompt_distinct"][0])
        == 1.0
    )
    nothing = np.full(64, 2**64 - 1, dtype=np.uint64)
    assert math.isnan(readings.sketch_overlap(nothing, nothing))


def test_too_few_records_read_as_nan_not_zero(wide, profile_of, vectors_of):
    single = profile_of(vectors(1, 10, wide, vectors_of), output_tokens=[None])
    assert math.isnan(readings.mean_pairwise_cosine(single)[0])
    assert math.isnan(readings.mmd2(single, single)[0])
    assert math.isnan(readings.entropy(single, "output_tokens_histogram")[0])
    assert math.isnan(readings.good_turing(single, "output_tokens_histogram")[0])
    assert math.isnan(readings.dominant_share(single, "output_tokens_histogram")[0])
    assert readings.effective_rank(single)[0] == pytest.approx(1.0)


def test_no_profiles_read_as_nothing(wide):
    empty = Profiles.empty(wide)
    for reading in (readings.mean_pairwise_cosine, readings.effective_rank, readings.participation_ratio):
        assert reading(empty).shape == (0,)
    assert readings.topic_entropy(empty).shape == readings.mmd2(empty, empty).shape == (0,)
    assert readings.distinct_count(empty, "prompt_distinct").shape == (0,)


def test_references_must_fit(wide, small_parameters, profile_of, vectors_of):
    profile = profile_of(vectors(3, 11, wide, vectors_of))
    with pytest.raises(UsageError, match="reference has 0 profiles for 1"):
        readings.mmd2(profile, Profiles.empty(wide))
    with pytest.raises(SpaceMismatch):
        readings.mmd2(profile, Profiles.empty(small_parameters))
