"""Profiles as Arrow tables and back, and their digests."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.engine import Engine
from pipeline.errors import LakeError, SpaceMismatch, UsageError
from pipeline.parameters import Parameters
from pipeline.profiles import Digester, Profiles
from pipeline.profiles.schema import PROFILES_SCHEMA, WINDOWS_SCHEMA
from pipeline.spaces import EmbeddingSpace

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def some(small_parameters, rows_of, table_of):
    """(seed, n) -> profiles of n random records of a few accounts and windows."""
    engine = Engine(small_parameters)
    return lambda seed, n, **more: engine.profiles(table_of(rows_of(np.random.default_rng(seed), n, **more)))


def heavy_width(table, name):
    return table.schema.metadata[f"distillwatch.{name}".encode()].decode()


@quick
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_tables_and_back(some, small_parameters, seed, n):
    profiles = some(seed, n)
    windows, heavy = profiles.to_windows_table(), profiles.to_profiles_table(min_records=1)
    assert windows.schema == WINDOWS_SCHEMA
    assert heavy.schema == PROFILES_SCHEMA
    assert Profiles.from_tables(small_parameters, windows, heavy).equals(profiles)


def test_tables_survive_parquet_and_any_row_order(some, small_parameters, tmp_path):
    profiles = some(3, 80)
    for number, table in enumerate((profiles.to_windows_table(), profiles.to_profiles_table(1))):
        shuffled = table.take(np.random.default_rng(number).permutation(len(table)))
        pq.write_table(shuffled, tmp_path / f"{number}.parquet", row_group_size=7)
    windows, heavy = (pq.read_table(tmp_path / f"{number}.parquet") for number in (0, 1))
    assert Profiles.from_tables(small_parameters, windows, heavy).equals(profiles)


def test_windows_are_sparse_sorted_lists(some):
    profiles = some(4, 90)
    windows = profiles.to_windows_table()
    for name, values in profiles.askable.items():
        for row, cells in zip(values, windows.column(name).to_pylist(), strict=True):
            assert cells == [{"bucket": b, "count": int(c)} for b, c in enumerate(row) if c]
    assert windows.column("window_start").cast(pa.int64()).to_pylist() == profiles.window_start.tolist()
    assert windows.column("account_id").to_pylist() == profiles.account_id.tolist()
    assert windows.column("input_tokens").to_pylist() == profiles.column("input_tokens").tolist()


def test_heavy_rows_begin_at_eight_records_and_are_plain_little_endian(some):
    profiles = some(5, 200, hours=1)
    heavy = profiles.to_profiles_table()
    chosen = profiles.take(profiles.records >= 8)
    assert 0 < len(chosen) <= len(profiles)
    assert heavy.column("account_id").to_pylist() == chosen.account_id.tolist()
    assert heavy_width(heavy, "embedding_sum") == heavy_width(heavy, "kernel_mean") == "int32"
    for row in range(len(chosen)):
        assert heavy.column("embedding_sum")[row].as_py() == chosen.embedding_sum[row].astype("<i4").tobytes()
        assert heavy.column("moment")[row].as_py() == chosen.moment[row].astype("<i8").tobytes()
        assert heavy.column("kernel_mean")[row].as_py() == chosen.kernel_mean[row].astype("<i4").tobytes()
        kept = chosen.distinct["prompt_distinct"][row]
        assert heavy.column("prompt_distinct")[row].as_py() == kept[kept != 2**64 - 1].astype("<u8").tobytes()


@pytest.mark.parametrize(
    ("value", "width"), [(2**31 - 1, "int32"), (2**31, "int64"), (-(2**31) - 1, "int64")]
)
def test_values_that_leave_int32_widen_the_column(some, small_parameters, value, width):
    profiles = some(6, 30)
    kernel_mean = profiles.kernel_mean.copy()
    kernel_mean[-1, 3] = value
    wide = dataclasses.replace(profiles, kernel_mean=kernel_mean)
    heavy = wide.to_profiles_table(1)
    assert heavy_width(heavy, "kernel_mean") == width
    assert heavy_width(heavy, "embedding_sum") == "int32"
    assert Profiles.from_tables(small_parameters, wide.to_windows_table(), heavy).equals(wide)


def test_concatenated_files_of_different_width_add_up(some, small_parameters):
    one, two = some(7, 60), some(8, 60)
    wide = dataclasses.replace(two, embedding_sum=two.embedding_sum + 2**33)
    tables = [(part.to_windows_table(), part.to_profiles_table(1)) for part in (one, wide)]
    windows, heavy = (pa.concat_tables(pair) for pair in zip(*tables, strict=True))
    assert Profiles.from_tables(small_parameters, windows, heavy).equals(Profiles.merge(one, wide))


def test_rows_without_a_heavy_part_are_not_made_up(some, small_parameters):
    profiles = some(9, 60)
    windows, heavy = profiles.to_windows_table(), profiles.to_profiles_table(min_records=4)
    with pytest.raises(UsageError, match=r"rows of windows have no heavy part .* compute those from records"):
        Profiles.from_tables(small_parameters, windows, heavy)
    dropped = Profiles.from_tables(small_parameters, windows, heavy, incomplete="drop")
    assert dropped.equals(profiles.take(profiles.records >= 4))


def test_a_thin_row_beside_a_heavy_one_of_the_same_key_is_told_apart(some, small_parameters):
    profiles = some(10, 60)
    heavy_ones = profiles.take(profiles.records >= 4)
    thin = some(11, 60)
    thin = thin.take(thin.records < 4)
    assert set(thin.account_id) & set(heavy_ones.account_id)
    windows = pa.concat_tables([heavy_ones.to_windows_table(), thin.to_windows_table()])
    found = Profiles.from_tables(
        small_parameters, windows, heavy_ones.to_profiles_table(4), incomplete="drop"
    )
    assert found.equals(heavy_ones)


def test_heavy_rows_of_other_files_or_spaces_are_refused(some, small_parameters):
    profiles = some(12, 60)
    windows, heavy = profiles.to_windows_table(), profiles.to_profiles_table(1)
    with pytest.raises(LakeError, match="pass both tables of the same files"):
        Profiles.from_tables(small_parameters, windows.slice(1), heavy)
    other = Parameters.generate(EmbeddingSpace("other", 24))
    with pytest.raises(LakeError, match=r"embedding_sum of account .* belongs to another embedding space"):
        Profiles.from_tables(other, windows, heavy)


@quick
@given(st.integers(0, 2**32), st.integers(0, 60), st.lists(st.integers(0, 30), max_size=4))
def test_digests_do_not_depend_on_blocks(some, seed, n, cuts):
    profiles = some(seed, n)
    digester, light = Digester(), Digester(light_only=True)
    edges = sorted(min(cut, len(profiles)) for cut in cuts)
    for a, b in zip([0, *edges], [*edges, len(profiles)], strict=True):
        digester.update(profiles.take(slice(a, b)))
        light.update(profiles.take(slice(a, b)))
    assert digester.hexdigest() == profiles.digest()
    assert digester.light_hexdigest() == light.light_hexdigest() == profiles.light_digest()


def test_digest_with_rows_of_both_widths_does_not_depend_on_blocks(some):
    profiles = some(1, 40)
    moment = profiles.moment.copy()
    moment[::2, 5] = 2**40
    wide = dataclasses.replace(profiles, moment=moment)
    digester = Digester()
    for row in range(len(wide)):
        digester.update(wide.take(slice(row, row + 1)))
    assert digester.hexdigest() == wide.digest() != profiles.digest()


def test_light_digest_in_plain_python(some):
    profiles = some(2, 90)
    plain = hashlib.blake2b(digest_size=32)
    rows = zip(profiles.account_id, profiles.window_start, profiles.light, strict=True)
    for account, start, light in sorted(rows, key=lambda row: (row[0].encode(), row[1])):
        plain.update((f"{account}\t{start}\t" + "\t".join(str(value) for value in light) + "\n").encode())
    assert profiles.light_digest() == plain.hexdigest()


def test_every_number_reaches_the_digest(some):
    profiles = some(3, 30)
    seen = {profiles.digest()}
    for name in ("light", "cells", "embedding_sum", "moment", "kernel_mean", "window_start"):
        values = getattr(profiles, name).copy()
        values[-1] += np.ones_like(values[-1])
        seen.add(dataclasses.replace(profiles, **{name: values}).digest())
    hashes = profiles.hashes.copy()
    hashes[0, 2, 1] = 17
    seen.add(dataclasses.replace(profiles, hashes=hashes).digest())
    seen.add(profiles.take(slice(1, None)).digest())
    assert len(seen) == 9


def test_digester_refuses_disorder_repeats_and_other_parameters(some):
    profiles = some(4, 40)
    digester = Digester()
    digester.update(profiles.take(slice(2, 4)))
    for rows in (slice(0, 1), slice(3, 4)):
        with pytest.raises(UsageError, match="feed blocks in key order, each key once"):
            digester.update(profiles.take(rows))
    with pytest.raises(SpaceMismatch):
        digester.update(Profiles.empty(Parameters.generate(EmbeddingSpace("other", 8))))
    with pytest.raises(UsageError, match="light digest only"):
        Digester(light_only=True).hexdigest()
    assert Digester().hexdigest() == Profiles.empty(profiles.parameters).digest()
