"""Single kernels against obvious loops, at the edges where they could differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backend import one_hot_sum
from pipeline.kernels.device import chunks
from pipeline.kernels.distinct import PADDING, bottom_k, clean_hashes
from pipeline.kernels.histograms import count_cells, hash_buckets, log2_buckets
from pipeline.kernels.kernel_mean import phases
from pipeline.kernels.moment import packed_moment, shifted
from pipeline.kernels.product import grid_product, squared_norms
from pipeline.kernels.segments import rows_per_call, segment_sum
from pipeline.kernels.topics import topics

sizes_of_groups = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def starts_of(sizes):
    return np.cumsum([0, *sizes[:-1]])


@given(sizes_of_groups, st.integers(0, 2**32))
def test_segment_sum_adds_rows_of_a_segment(sizes, seed):
    values = np.random.default_rng(seed).integers(-128, 128, (sum(sizes), 5))
    out = np.full((len(sizes), 5), -1)
    segment_sum(values.astype(np.float32), starts_of(sizes), 128, out, xp=np, one_hot=one_hot_sum)
    expected = [block.sum(axis=0) for block in np.split(values, starts_of(sizes)[1:])]
    np.testing.assert_array_equal(out, expected)


@given(sizes_of_groups, st.integers(1, 7))
def test_segment_sum_in_chunks_is_the_same(sizes, limit):
    # A bound so large that only `limit` rows may be added up in one call; segments then span calls.
    values = np.arange(sum(sizes) * 2).reshape(-1, 2)
    out = np.full((len(sizes), 2), -1)
    calls = []

    def counted(rows, starts):
        calls.append(len(rows))
        return one_hot_sum(rows, starts)

    segment_sum(values.astype(np.float32), starts_of(sizes), 2**24 // limit, out, xp=np, one_hot=counted)
    assert max(calls) <= limit
    np.testing.assert_array_equal(
        out, [block.sum(axis=0) for block in np.split(values, starts_of(sizes)[1:])]
    )


def test_one_hot_sums_stay_exact_at_the_bound_and_would_not_beyond():
    n = rows_per_call(2047)
    assert n >= 8192
    full = one_hot_sum(np.full((n, 1), 2047, dtype=np.float32), np.array([0]))
    assert int(full[0, 0]) == n * 2047 <= 2**24
    # The trap this guards against: an odd sum above 2**24 cannot be a float32.
    beyond = one_hot_sum(np.full((n + 1, 1), 2047, dtype=np.float32), np.array([0]))
    assert int(beyond[0, 0]) != (n + 1) * 2047


def test_segment_sum_is_exact_far_beyond_2_to_the_24():
    n = 200_001
    out = np.zeros((2, 1), dtype=np.int64)
    segment_sum(np.full((n, 1), 127, np.float32), np.array([0, 1]), 127, out, xp=np, one_hot=one_hot_sum)
    assert out.ravel().tolist() == [127, 127 * (n - 1)]


@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32))
def test_grid_product_equals_int64(n, d, m, seed):
    rng = np.random.default_rng(seed)
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    matrix = rng.integers(-500, 500, (d, m)).astype(np.float32)
    x, product = grid_product(q, matrix, xp=np)
    np.testing.assert_array_equal(product, q.astype(np.int64) @ matrix.astype(np.int64))
    np.testing.assert_array_equal(squared_norms(x, xp=np), (q.astype(np.int64) ** 2).sum(axis=1))


def test_squared_norms_beyond_exactness_are_still_too_long():
    x = np.full((1, 4096), -128, dtype=np.float32)
    assert float(squared_norms(x, xp=np)[0]) >= 2**24


@given(st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=20))
def test_topics_take_the_first_maximum(rows):
    scores = np.array(rows, dtype=np.float32)
    assert topics(scores, xp=np).tolist() == [row.index(max(row)) for row in rows]


@given(st.lists(st.integers(-(2**24) + 1, 2**24 - 1), min_size=1, max_size=50), st.integers(0, 16))
def test_shifts_and_phases_floor(values, shift):
    product = np.array(values, dtype=np.float32)[:, None]
    assert shifted(product, shift, xp=np)[:, 0].tolist() == [value // 2**shift for value in values]
    b = 4095
    offset = np.array([64 * b + 32], dtype=np.int32)
    assert phases(product, offset, xp=np)[:, 0].tolist() == [
        ((value + 32) // 64 + b) % 4096 for value in values
    ]


@pytest.mark.parametrize("sizes", [[1], [1, 1], [2, 3, 4, 5, 8, 9, 1], [64, 65, 1, 63], [200]])
@pytest.mark.parametrize("peak", [3, 4095, 32767])
def test_packed_moment_equals_a_loop(sizes, peak):
    y = np.random.default_rng(peak).integers(-peak, peak + 1, (sum(sizes), 4)).astype(np.int32)
    y[0] = peak
    out = np.full((len(sizes), 10), -1)
    packed_moment(y, starts_of(sizes), out, xp=np)
    blocks = np.split(y.astype(np.int64), starts_of(sizes)[1:])
    expected = [[int((b[:, i] * b[:, j]).sum()) for i in range(4) for j in range(i + 1)] for b in blocks]
    assert out.tolist() == expected


def test_packed_moment_is_exact_beyond_float32():
    # 40 rows of 4095**2 pass 2**24 fivefold and are odd: the float32 path must not be taken.
    y = np.full((41, 2), 4095, dtype=np.int32)
    out = np.zeros((1, 3), dtype=np.int64)
    packed_moment(y, np.array([0]), out, xp=np)
    assert out.tolist() == [[41 * 4095**2] * 3]


def test_packed_moment_of_nothing():
    packed_moment(np.empty((0, 4), np.int32), np.empty(0, np.int64), np.empty((0, 10), np.int64), xp=np)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_log2_buckets(values):
    expected = [
        0 if value <= 0 else min(31, math.floor(math.log2(value)) + 1) for value in values if value < 2**48
    ]
    small = np.array([value for value in values if value < 2**48], dtype=np.int64)
    assert log2_buckets(small, xp=np).tolist() == expected
    assert log2_buckets(np.array(values, np.int64), xp=np).tolist() == [
        0 if value <= 0 else min(31, value.bit_length()) for value in values
    ]


def test_log2_buckets_at_powers_of_two():
    values = [0, 1, 2, 3, 4, 7, 8, 2**29, 2**30 - 1, 2**30, 2**31, 2**62]
    assert log2_buckets(np.array(values), xp=np).tolist() == [0, 1, 2, 2, 3, 3, 4, 30, 30, 31, 31, 31]


def test_hash_buckets_and_the_hash_that_is_padding():
    hashes = clean_hashes(np.array([0, 63, 64, 2**64 - 2, 2**64 - 1], dtype=np.uint64), xp=np)
    assert hashes.tolist() == [0, 63, 64, 2**64 - 2, 2**64 - 2]
    assert hash_buckets(hashes, xp=np).tolist() == [0, 63, 0, 62, 62]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4), st.integers(-1, 4))))
def test_count_cells(rows):
    group = np.array([row[0] for row in rows], dtype=np.int64)
    cells = [np.array([row[1] for row in rows], np.int64), np.array([row[2] for row in rows], np.int64)]
    expected = np.zeros((4, 5), dtype=int)
    for g, *both in rows:
        for cell in both:
            if cell >= 0:
                expected[g, cell] += 1
    assert count_cells(group, cells, 4, 5, xp=np).tolist() == expected.tolist()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30) | st.integers(2**64 - 3, 2**64 - 1))))
def test_bottom_k_keeps_the_smallest_distinct(pairs):
    group = np.array([pair[0] for pair in pairs], dtype=np.int64)
    hashes = np.array([pair[1] for pair in pairs], dtype=np.uint64)
    for size in (1, 3, 64):
        expected = []
        for number in range(5):
            kept = sorted({h for g, h in pairs if g == number and h != PADDING})[:size]
            expected.append(kept + [PADDING] * (size - len(kept)))
        assert bottom_k(group, hashes, 5, xp=np, size=size).tolist() == expected


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_chunks_cover_every_row_once_and_are_short(sizes):
    starts = starts_of(sizes)
    low, high, segment = chunks(starts, sum(sizes), xp=np)
    assert all(1 <= size <= 64 for size in high - low)
    covered = [row for a, b in zip(low, high, strict=True) for row in range(a, b)]
    assert covered == list(range(sum(sizes)))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    assert all(owner[a] == s == owner[b - 1] for a, b, s in zip(low, high, segment, strict=True))
