"""Profiles are a group under merge: the laws, and what must be refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.engine import Engine
from pipeline.errors import OutOfBounds, SpaceMismatch, UsageError
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.spaces import EmbeddingSpace

laws = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
counts = st.integers(0, 25)
seeds = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def some(small_parameters, rows_of, table_of):
    """(seed, n) -> profiles of n random records of a few accounts and windows."""
    engine = Engine(small_parameters)
    return lambda seed, n: engine.profiles(table_of(rows_of(np.random.default_rng(seed), n)))


@laws
@given(seeds, counts, counts, counts)
def test_merge_is_associative_and_commutative(some, seed, i, j, k):
    a, b, c = some(seed, i), some(seed + 1, j), some(seed + 2, k)
    left = Profiles.merge(Profiles.merge(a, b), c)
    assert left.equals(Profiles.merge(a, Profiles.merge(b, c)))
    assert left.equals(Profiles.merge(c, b, a))
    assert left.equals(Profiles.merge(a, b, c))


@laws
@given(seeds, counts)
def test_empty_is_the_identity(some, small_parameters, seed, n):
    a, nothing = some(seed, n), Profiles.empty(small_parameters)
    assert Profiles.merge(a, nothing).equals(a)
    assert Profiles.merge(nothing, a).equals(a)
    assert Profiles.merge(a).equals(a)
    assert Profiles.subtract(a, nothing).equals(a)


@laws
@given(seeds, counts, counts)
def test_what_was_added_can_be_taken_off(some, seed, i, j):
    a, b = some(seed, i), some(seed + 1, j)
    assert Profiles.subtract(Profiles.merge(a, b), b).equals(a, distinct=False)
    assert len(Profiles.subtract(a, a)) == 0


@laws
@given(seeds, counts, counts)
def test_sums_over_windows_and_accounts(some, seed, i, j):
    a, b = some(seed, i), some(seed + 1, j)
    both = Profiles.merge(a, b)
    assert both.by_account().equals(Profiles.merge(a.by_account(), b.by_account()).by_account())
    assert both.total().equals(both.by_account().total())
    for name in ("light", "cells", "embedding_sum", "moment", "kernel_mean"):
        np.testing.assert_array_equal(
            getattr(both.total(), name).sum(axis=0), getattr(both, name).sum(axis=0)
        )
    if len(both):
        assert both.total("cluster-1").account_id.tolist() == ["cluster-1"]
        assert int(both.total().window_start[0]) == int(both.window_start.min())
        for name, earliest in zip(both.by_account().account_id, both.by_account().window_start, strict=True):
            assert earliest == both.of_accounts([name]).window_start.min()


@laws
@given(seeds, st.integers(2, 60), st.integers(2, 8))
def test_merging_disjoint_ordered_parts_gives_the_whole(some, seed, n, parts):
    whole = some(seed, n)
    cut = [whole.take(rows) for rows in np.array_split(np.arange(len(whole)), parts)]
    assert Profiles.merge(*cut).equals(whole)
    assert Profiles.merge(*cut[::-1]).equals(whole)


def test_keys_are_sorted_by_utf8_bytes_not_by_utf16_or_locale(some):
    names = list(dict.fromkeys(some(0, 300).account_id))
    assert names == sorted(names, key=str.encode)
    assert names[-2:] == ["\uffff", "\U0001f600"]


def test_merge_leaves_its_inputs_alone(some):
    a, b = some(1, 20), some(2, 20)
    before = a.digest(), b.digest()
    merged = Profiles.merge(a, b)
    Profiles.subtract(merged, b)
    merged.by_account(), merged.total()
    assert (a.digest(), b.digest()) == before


def test_subtracting_what_is_not_contained_is_refused(some):
    a = some(1, 20)
    with pytest.raises(UsageError, match="is not in the profiles"):
        Profiles.subtract(a.take(slice(1, None)), a)
    with pytest.raises(UsageError, match="only what was added before"):
        Profiles.subtract(a, Profiles.merge(a, a))
    # All records are taken, but not the sums that came with them.
    light = a.light.copy()
    light[:, 1] += 1
    with pytest.raises(UsageError, match="they are not among them"):
        Profiles.subtract(dataclasses.replace(a, light=light), a)


def test_profiles_of_other_spaces_or_parameters_do_not_merge(some, small_parameters):
    a = some(1, 5)
    with pytest.raises(SpaceMismatch, match=r"small \(d=8\) and of other \(d=8\)"):
        Profiles.merge(a, Profiles.empty(Parameters.generate(EmbeddingSpace("other", 8))))
    with pytest.raises(SpaceMismatch, match="recompute one side"):
        Profiles.merge(a, Profiles.empty(Parameters.generate(small_parameters.space, seed="other")))
    assert not a.equals(Profiles.merge(a, a))
    with pytest.raises(UsageError, match=r"Profiles\.empty"):
        Profiles.merge()


def test_sums_that_leave_int64_are_refused_and_those_that_do_not_are_kept(some):
    one = some(1, 1)
    light = one.light.copy()
    light[0, 1] = 2**62
    large = dataclasses.replace(one, light=light)
    with pytest.raises(OutOfBounds, match=f"add up 2 records to {2**63}"):
        Profiles.merge(large, large)
    light[0, 1] = 2**62 - 1
    assert int(Profiles.merge(large, large).light[0, 1]) == 2**63 - 2
    light[0, 1], light[0, 0] = 0, one.parameters.max_records
    with pytest.raises(OutOfBounds, match="score a shorter time range"):
        Profiles.merge(large, one)


def test_sums_beyond_int32_and_float_precision_stay_exact(some):
    one = some(1, 30).total()
    values = one.moment.copy()
    values[0] = 2**53 + 1
    odd = dataclasses.replace(one, moment=values, embedding_sum=one.embedding_sum + 2**31)
    merged = Profiles.merge(odd, odd, odd)
    assert merged.moment[0].tolist() == [3 * (2**53 + 1)] * 528
    assert merged.embedding_sum.tolist() == (3 * odd.embedding_sum).tolist()


def test_take_keeps_order(some):
    a = some(1, 40)
    assert a.take(np.array([0, 2])).account_id.tolist() == [a.account_id[0], a.account_id[2]]
    assert len(a.take(np.array([], dtype=np.int64))) == 0
    assert len(a.take(np.zeros(len(a), dtype=bool))) == 0
    with pytest.raises(UsageError, match="must ascend"):
        a.take(np.array([2, 0]))
    with pytest.raises(UsageError, match="must ascend"):
        a.take(np.array([1, 1]))


def test_merging_a_thousand_deltas_of_one_account_equals_the_sum(some):
    a = some(1, 60)
    assert np.array_equal(Profiles.merge(*[a] * 1000).moment, a.moment * 1000)
