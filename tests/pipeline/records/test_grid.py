from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reason, SpaceMismatch
from pipeline.records.grid import check_grid, on_grid, quantise, quantise_rows
from pipeline.spaces import EmbeddingSpace

SPACE = EmbeddingSpace("toy", 24)


def reference(x: np.ndarray, d: int) -> list[int]:
    values = [float(v) for v in np.asarray(x, np.float32)]
    norm = math.sqrt(math.fsum(v * v for v in values))
    return [max(-127, min(127, round(v / norm * (127 * math.sqrt(d) / 7)))) for v in values]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_formula_for_every_float_type(dtype: type) -> None:
    x = np.random.default_rng(1).normal(size=(200, 24)).astype(dtype)
    assert quantise(x, SPACE).tolist() == [reference(row, 24) for row in x]


def test_length_of_the_vector_does_not_matter_much() -> None:
    x = np.random.default_rng(2).normal(size=(50, 24))
    assert np.array_equal(quantise(x, SPACE), quantise(x * 2.0**20, SPACE))


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.data())
@settings(max_examples=40, deadline=None)
def test_a_row_does_not_depend_on_the_batch(n: int, seed: int, data: st.DataObject) -> None:
    d = data.draw(st.sampled_from([8, 24, 31, 384, 385]))
    space = EmbeddingSpace("any", d)
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    whole = quantise(x, space)
    cut = data.draw(st.integers(0, n))
    assert np.array_equal(whole, np.concatenate([quantise(x[:cut], space), quantise(x[cut:], space)]))
    assert np.array_equal(whole, quantise(np.asfortranarray(x), space))
    assert np.array_equal(whole[::-1], quantise(x[::-1], space))


def test_blocks_join() -> None:
    x = np.random.default_rng(3).normal(size=(4100, 24))
    whole = quantise(x, SPACE)
    assert np.array_equal(whole[4090:], quantise(x[4090:], SPACE))


def test_faulty_rows_are_named_and_do_not_spoil_the_others() -> None:
    x = np.random.default_rng(4).normal(size=(6, 24))
    good = quantise(x, SPACE)
    x[1, 5] = np.nan
    x[2] = 0
    x[3, 0] = 1e300  # infinite as a 32-bit float
    x[4] = 0
    x[4, 7] = 1  # all length in one coordinate: clipped to 127
    q, faults = quantise_rows(x, EmbeddingSpace("toy", 24))
    assert [(f.row, f.reason) for f in faults[:3]] == [
        (1, Reason.NOT_FINITE),
        (2, Reason.ZERO_VECTOR),
        (3, Reason.NOT_FINITE),
    ]
    assert "embedding[5] is nan" in faults[0].detail
    assert np.array_equal(q[[0, 5]], good[[0, 5]])
    with pytest.raises(ValueError, match=r"row 1: embedding\[5\] is nan"):
        quantise(x, SPACE)


def test_a_signalling_nan_is_reported_without_a_warning() -> None:
    x = np.random.default_rng(4).normal(size=(2, 24)).astype(np.float32)
    x.view(np.uint32)[1, 3] = 0x7F800001
    _, faults = quantise_rows(x, SPACE)
    assert [(f.row, f.reason) for f in faults] == [(1, Reason.NOT_FINITE)]


def test_clipped_vectors_are_not_on_the_grid() -> None:
    space = EmbeddingSpace("wide", 384)
    x = np.zeros((1, 384))
    x[0, 3] = 1.0
    _, faults = quantise_rows(x, space)
    assert faults[0].reason is Reason.NOT_ON_GRID
    assert "1 of 384 coordinates" in faults[0].detail


def test_ready_made_vectors_must_have_the_grid_s_length() -> None:
    good = quantise(np.random.default_rng(5).normal(size=(4, 24)), SPACE)
    bad = good.copy()
    bad[1] = 127
    bad[2] = good[2] // 2
    bad[3] = 0
    assert on_grid(good, SPACE).all()
    faults = check_grid(bad, SPACE)
    assert [(f.row, f.reason) for f in faults] == [
        (1, Reason.NOT_ON_GRID),
        (2, Reason.NOT_ON_GRID),
        (3, Reason.ZERO_VECTOR),
    ]
    assert f"|q|^2 is {127 * 127 * 24}" in faults[0].detail
    assert "rint(x * 127 * sqrt(d) / 7)" in faults[0].detail


def test_tolerance_is_ten_per_cent_on_both_sides() -> None:
    def with_norm2(target: float) -> np.ndarray:
        q = np.full(24, int(math.sqrt(target / 24)), np.int64)
        while (q**2).sum() < target:
            q[int(np.argmin(q))] += 1
        return q.astype(np.int8)

    inside = [with_norm2(SPACE.norm2 * 0.905), with_norm2(SPACE.norm2 * 1.09)]
    outside = [with_norm2(SPACE.norm2 * 0.885), with_norm2(SPACE.norm2 * 1.101)]
    assert on_grid(np.stack(inside), SPACE).tolist() == [True, True]
    assert on_grid(np.stack(outside), SPACE).tolist() == [False, False]


def test_minus_128_is_not_on_the_grid_even_if_the_length_is_right() -> None:
    space = EmbeddingSpace("wide", 384)
    q = np.full((2, 384), 17, np.int8)
    q[:, 0] = (-127, -128)
    assert abs(16_384 + 383 * 289 - space.norm2) < 0.1 * space.norm2
    assert on_grid(q, space).tolist() == [True, False]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(SpaceMismatch, match=r"\(2, 23\); toy \(d=24\) needs \(n, 24\)"):
        quantise(np.zeros((2, 23)), SPACE)
    assert quantise(np.zeros((0, 24)), SPACE).shape == (0, 24)
