"""Every backend gives the integers of a plain int64 reference, for any cut into groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.parameters import Parameters
from pipeline.spaces import EmbeddingSpace

SPACES = {d: Parameters.generate(EmbeddingSpace("test", d)) for d in (8, 384, 1024)}


def reference(q, starts, parameters):
    """Ten lines of int64: topics, norms, sums, moments, kernel means."""
    q64 = q.astype(np.int64)
    groups = np.split(np.arange(len(q)), starts[1:])
    topic = np.array([int(np.argmax(row)) for row in q64 @ parameters.codebook.T.astype(np.int64)])
    y = np.floor_divide(q64 @ parameters.projection.astype(np.int64), 2**parameters.shift)
    turn = (np.floor_divide(q64 @ parameters.features.astype(np.int64) + 32, 64) + parameters.phase) % 4096
    wave = parameters.cos_table.astype(np.int64)[turn]
    # np.tril_indices goes row by row, and an int64 product does not pass through BLAS.
    moment = [(y[rows].T @ y[rows])[np.tril_indices(32)] for rows in groups]
    return {
        "topic": topic,
        "norm2": (q64**2).sum(axis=1),
        "embedding_sum": np.array([q64[rows].sum(axis=0) for rows in groups]),
        "moment": np.array(moment),
        "kernel_mean": np.array([wave[rows].sum(axis=0) for rows in groups]),
    }


def check(backend, q, starts, parameters, fresh_sums):
    out = fresh_sums(len(q), len(starts), q.shape[1])
    backend.sums(q, starts, parameters, out)
    for name, expected in reference(q, starts, parameters).items():
        np.testing.assert_array_equal(getattr(out, name), expected, err_msg=f"{backend.name}: {name}")


@pytest.mark.parametrize("d", [8, 384, 1024])
@pytest.mark.parametrize(
    "sizes",
    [[1], [2], [1, 1, 1], [70], [1, 64, 65, 2, 3, 1], [130, 1]],
    ids=lambda sizes: "-".join(map(str, sizes)),
)
def test_sums_equal_the_reference(backend, d, sizes, vectors_of, fresh_sums):
    parameters = SPACES[d]
    q = vectors_of(np.random.default_rng(d + sum(sizes)), sum(sizes), parameters.space)
    check(backend, q, np.cumsum([0, *sizes[:-1]]), parameters, fresh_sums)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=12), seed=st.integers(0, 2**32))
def test_any_cut_into_groups(backend, sizes, seed, vectors_of, fresh_sums):
    parameters = SPACES[8]
    q = vectors_of(np.random.default_rng(seed), sum(sizes), parameters.space)
    check(backend, q, np.cumsum([0, *sizes[:-1]]), parameters, fresh_sums)


@pytest.mark.parametrize("value", [127, -127, -128])
def test_saturated_vectors_are_exact_where_the_product_is(backend, value, fresh_sums):
    # 128 * 127 * 8 is far below 2**24; what the grid would refuse is still added up right.
    q = np.full((5, 8), value, dtype=np.int8)
    check(backend, q, np.array([0, 2]), SPACES[8], fresh_sums)


def test_the_longest_vectors_of_the_space_are_exact(backend, fresh_sums):
    parameters = SPACES[1024]
    # All coordinates as large as the bound on the norm allows, with the signs that drive one column to its worst.
    size = int(np.sqrt(parameters.norm2_bound / 1024))
    for matrix in (parameters.features, parameters.projection, parameters.codebook.T):
        worst = np.argmax(np.abs(matrix.astype(np.int64)).sum(axis=0))
        signs = np.where(matrix[:, worst] >= 0, 1, -1)
        q = np.stack([size * signs, -size * signs]).astype(np.int8)
        check(backend, q, np.array([0]), parameters, fresh_sums)


def test_shifts_round_towards_minus_infinity(backend, fresh_sums):
    parameters = SPACES[8]
    shifted = Parameters(
        space=parameters.space,
        projection=np.ones((8, 32), dtype=np.int8),
        shift=1,
        features=np.ones((8, 256), dtype=np.int16),
        phase=np.zeros(256, dtype=np.int16),
        cos_table=np.arange(4096, dtype=np.int16) % 2000,
        codebook=parameters.codebook,
    )
    q = np.zeros((4, 8), dtype=np.int8)
    # q @ 1: -1 -> y = -1; -33 -> (-33 + 32) // 64 = -1, so phase 4095; -32 -> 0; -97 -> -2.
    q[:, 0] = [-1, -33, -32, -97]
    out = fresh_sums(4, 4, 8)
    backend.sums(q, np.arange(4), shifted, out)
    assert out.moment[:, 0].tolist() == [1, 17**2, 16**2, 49**2]
    assert out.kernel_mean[:, 0].tolist() == [0, 4095 % 2000, 0, 4094 % 2000]


def test_ties_go_to_the_lowest_topic(backend, fresh_sums):
    base = SPACES[8]
    codebook = base.codebook.copy()
    codebook[7] = codebook[3] = codebook[200]
    tied = Parameters(
        base.space, base.projection, base.shift, base.features, base.phase, base.cos_table, codebook
    )
    q = np.stack([codebook[3], np.zeros(8, dtype=np.int8)])
    out = fresh_sums(2, 1, 8)
    backend.sums(q, np.array([0]), tied, out)
    best = int(np.argmax(codebook.astype(np.int64) @ codebook[3].astype(np.int64)))
    assert out.topic.tolist() == [best, 0]
    assert best <= 3


def test_inputs_are_left_alone(backend, vectors_of, fresh_sums):
    q = vectors_of(np.random.default_rng(0), 9, SPACES[8].space)
    before, starts = q.copy(), np.array([0, 4])
    backend.sums(q, starts, SPACES[8], fresh_sums(9, 2, 8))
    np.testing.assert_array_equal(q, before)
    assert starts.tolist() == [0, 4]
