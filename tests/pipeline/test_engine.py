"""Whole profiles against a plain reference, and promise 1: no split, order, block or backend shows."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import readings
from pipeline.engine import HEAVY_COLUMNS, Engine
from pipeline.errors import OutOfBounds, UsageError
from pipeline.kernels.distinct import PADDING
from pipeline.parameters import Parameters
from pipeline.profiles import Digester, Profiles
from pipeline.profiles.schema import ASKABLE_FIELDS, DISTINCT_FIELDS, LIGHT_FIELDS
from pipeline.spaces import EmbeddingSpace

LOG2 = {"input_tokens": "input_tokens", "output_tokens": "output_tokens", "latency_ms": "latency"}
HASHED = ("template", "system_prompt", "client_network", "user_agent", "model")


def blake64(field, text):
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=f"dw-{field}".encode()[:16]).digest()
    return min(int.from_bytes(digest, "little"), 2**64 - 2)


def sampling(row):
    fixed = [
        None if row[name] is None or not math.isfinite(row[name]) else round(min(row[name] * 10000, 2.0**53))
        for name in ("temperature", "top_p")
    ]
    parts = [*fixed, row["max_tokens"], row["choice_count"]]
    return blake64("sampling", "|".join("" if part is None else str(part) for part in parts))


def plain_profile(rows, parameters):
    """A whole profile from records, in plain Python: what the engine's result must equal."""
    light, cells, q, distinct = (
        dict.fromkeys(LIGHT_FIELDS, 0),
        defaultdict(lambda: defaultdict(int)),
        [],
        defaultdict(set),
    )
    for row in rows:
        vector = [int(value) for value in np.frombuffer(row["embedding"], np.int8)]
        q.append(vector)
        light["records"] += 1
        light["embedding_norm2"] += sum(value * value for value in vector)
        for name in ("input_tokens", "output_tokens"):
            light[name] += row[name] or 0
        for name, column in (("reasoning_requested",) * 2, ("logprobs",) * 2, ("streamed", "stream")):
            light[name] += row[column] is True
        light["multiple_choices"] += (row["choice_count"] or 0) > 1
        status = (row["status"] or "").lower()
        light["errors"] += status in {"error", "failure", "timeout", "429", "503"}
        light["refusals"] += status in {"refused", "refusal", "content_filter"}
        light["other_language"] += (row["language"] or "en").lower().replace("_", "-").split("-")[0] != "en"
        scores = [sum(a * int(b) for a, b in zip(vector, c, strict=True)) for c in parameters.codebook]
        cells["topic_count"][scores.index(max(scores))] += 1
        for column, name in LOG2.items():
            if row[column] is not None:
                value = row[column]
                cells[f"{name}_histogram"][0 if value <= 0 else min(31, value.bit_length())] += 1
        minutes = row["event_time"] // 60_000_000
        cells["minute_histogram"][minutes % 60] += 1
        cells["hour_histogram"][minutes // 60 % 24] += 1
        hashes = {"sampling": sampling(row)}
        for name in ("prompt", "template", "system_prompt"):
            if row[f"{name}_hash"] is not None:
                hashes[name] = min(row[f"{name}_hash"], 2**64 - 2)
        for name in ("client_network", "user_agent", "model"):
            if row[name] is not None:
                hashes[name] = blake64(name, row[name])
        for name in ("sampling", *HASHED):
            if name in hashes:
                cells[f"{name}_hashed_count"][hashes[name] % 64] += 1
        for name in DISTINCT_FIELDS:
            if name.removesuffix("_distinct") in hashes:
                distinct[name].add(hashes[name.removesuffix("_distinct")])
    q = np.array(q, dtype=np.int64)
    y = q @ parameters.projection.astype(np.int64) // 2**parameters.shift
    phase = ((q @ parameters.features.astype(np.int64) + 32) // 64 + parameters.phase) % 4096
    return {
        "light": [light[name] for name in LIGHT_FIELDS],
        "embedding_sum": q.sum(axis=0).tolist(),
        "moment": (y.T @ y)[np.tril_indices(32)].tolist(),
        "kernel_mean": parameters.cos_table.astype(np.int64)[phase].sum(axis=0).tolist(),
        **{name: [cells[name][cell] for cell in range(size)] for name, size in ASKABLE_FIELDS.items()},
        **{name: (sorted(distinct[name])[:64] + [PADDING] * 64)[:64] for name in DISTINCT_FIELDS},
    }


def check_against_plain(profiles, rows, parameters, window=3600 * 10**6):
    groups = defaultdict(list)
    for row in rows:
        groups[row["account_id"].encode(), row["event_time"] // window * window].append(row)
    keys = [
        (name.encode(), start) for name, start in zip(profiles.account_id, profiles.window_start, strict=True)
    ]
    assert keys == sorted(groups)
    for number, key in enumerate(keys):
        found = {
            name: getattr(profiles, name)[number].tolist() for name in ("light", "embedding_sum", "moment")
        }
        found["kernel_mean"] = profiles.kernel_mean[number].tolist()
        found |= {
            name: values[number].tolist() for name, values in (profiles.askable | profiles.distinct).items()
        }
        for name, expected in plain_profile(groups[key], parameters).items():
            assert found[name] == expected, (key, name)


@pytest.mark.parametrize("n", [1, 2, 60, 400])
def test_profiles_equal_the_plain_reference(backend, n, small_parameters, rows_of, table_of):
    rows = rows_of(np.random.default_rng(n), n)
    check_against_plain(Engine(small_parameters, backend).profiles(table_of(rows)), rows, small_parameters)


def test_one_account_with_more_distinct_hashes_than_a_sketch_holds(
    backend, small_parameters, rows_of, table_of
):
    rows = rows_of(np.random.default_rng(3), 300, accounts=("only",), hours=1, distinct_hashes=True)
    check_against_plain(Engine(small_parameters, backend).profiles(table_of(rows)), rows, small_parameters)


def test_default_parameters_and_another_window(rows_of, table_of):
    parameters = Parameters.default()
    rows = rows_of(np.random.default_rng(5), 40, space=parameters.space)
    profiles = Engine(parameters, window_seconds=600).profiles(table_of(rows, parameters.space))
    check_against_plain(profiles, rows, parameters, window=600 * 10**6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), n=st.integers(0, 60), seed=st.integers(0, 2**32))
def test_any_split_and_order_gives_equal_profiles(
    backend, data, n, seed, small_parameters, rows_of, table_of
):
    rows = rows_of(np.random.default_rng(seed), n)
    engine = Engine(small_parameters, backend)
    whole = engine.profiles(table_of(rows))
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    pieces = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    merged = Profiles.merge(*[engine.profiles(table_of(piece)) for piece in pieces])
    assert merged.equals(whole)
    assert merged.digest() == whole.digest()
    assert merged.light_digest() == whole.light_digest()


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1000])
def test_groups_that_span_blocks_are_carried_over(backend, block, small_parameters, rows_of, table_of):
    table = table_of(rows_of(np.random.default_rng(8), 150, accounts=("a", "b"), hours=1))
    expected = Engine(small_parameters).profiles(table)
    backend.block_records = block
    assert Engine(small_parameters, backend).profiles(table).equals(expected)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_heavy_parts_are_those_of_whole_profiles(backend, block, small_parameters, rows_of, table_of):
    table = table_of(rows_of(np.random.default_rng(12), 150, accounts=("a", "b", "c"), hours=3))
    whole = Engine(small_parameters).profiles(table).by_account()
    backend.block_records = block
    heavy = Engine(small_parameters, backend).heavy_parts(table.select(HEAVY_COLUMNS))
    assert heavy.account_id.tolist() == whole.account_id.tolist()
    for name in ("records", "embedding_sum", "moment", "kernel_mean", "hashes"):
        np.testing.assert_array_equal(getattr(heavy, name), getattr(whole, name), err_msg=name)
    assert not heavy.cells.any()


@pytest.mark.parametrize("block", [1, 5, 40, 1000])
def test_profile_blocks_are_ordered_disjoint_and_complete(block, small_parameters, rows_of, table_of):
    rows = sorted(rows_of(np.random.default_rng(9), 120), key=lambda row: row["account_id"].encode())
    table, engine = table_of(rows), Engine(small_parameters)
    blocks = list(engine.profile_blocks(table, block))
    accounts = [set(part.account_id) for part in blocks]
    assert sum(map(len, accounts)) == len(set().union(*accounts))
    assert all(
        len(names) == 1 or int(part.records.sum()) <= block
        for names, part in zip(accounts, blocks, strict=True)
    )
    assert Profiles.merge(*blocks).equals(engine.profiles(table))
    keys = [
        (name.encode(), when)
        for part in blocks
        for name, when in zip(part.account_id, part.window_start, strict=True)
    ]
    assert keys == sorted(keys)


@pytest.mark.parametrize("heavy_from", [0, 1, 3, 1000])
def test_thin_profiles_without_heavy_parts_are_for_landing_only(
    backend, heavy_from, small_parameters, rows_of, table_of
):
    engine, table = Engine(small_parameters, backend), table_of(rows_of(np.random.default_rng(12), 90))
    whole, landed = engine.profiles(table), engine.profiles(table, heavy_from=heavy_from)
    assert landed.light_digest() == whole.light_digest()
    assert landed.to_windows_table().equals(whole.to_windows_table())
    assert landed.to_profiles_table(heavy_from).equals(whole.to_profiles_table(heavy_from))
    if heavy_from <= 1:
        assert landed.digest() == whole.digest()
        return
    assert (landed.hashes[landed.records < heavy_from] == PADDING).all()
    for refused in (
        landed.digest,
        landed.by_account,
        landed.total,
        landed.to_profiles_table if heavy_from > 8 else lambda: landed.to_profiles_table(1),
        lambda: Profiles.merge(landed, landed),
        lambda: Profiles.subtract(whole, landed),
        lambda: Profiles.subtract(landed, whole),
        lambda: readings.effective_rank(landed),
        lambda: readings.mmd2(whole, landed),
        lambda: readings.centroid_cosine(whole, landed),
        lambda: readings.distinct_count(landed, "prompt_distinct"),
        lambda: readings.mean_pairwise_cosine(landed.take(slice(0, 5))),
    ):
        with pytest.raises(UsageError, match=f"fewer than {heavy_from} records was left out"):
            refused()


def test_the_digest_of_what_is_landed_needs_no_thin_heavy_parts(small_parameters, rows_of, table_of):
    engine, table = Engine(small_parameters), table_of(rows_of(np.random.default_rng(13), 90))
    digests = []
    for made_with in (0, 2, 3):
        digester = Digester(heavy_from=3)
        profiles = engine.profiles(table, heavy_from=made_with)
        for low in range(0, len(profiles), 4):
            digester.update(profiles.take(slice(low, low + 4)))
        digests.append(digester.hexdigest())
    assert len(set(digests)) == 1
    assert digests[0] != engine.profiles(table).digest()
    with pytest.raises(UsageError, match="was left out"):
        Digester(heavy_from=2).update(engine.profiles(table, heavy_from=3))


def test_blocks_for_landing_make_the_same_tables(small_parameters, rows_of, table_of):
    import pyarrow as pa

    rows = sorted(rows_of(np.random.default_rng(9), 200), key=lambda row: row["account_id"].encode())
    engine = Engine(small_parameters)
    whole = engine.profiles(table_of(rows))
    blocks = list(engine.profile_blocks(table_of(rows), 20, heavy_from=8))
    assert pa.concat_tables([block.to_windows_table() for block in blocks]).equals(whole.to_windows_table())
    assert pa.concat_tables([block.to_profiles_table() for block in blocks]).equals(whole.to_profiles_table())
    assert Profiles.merge(*blocks).to_profiles_table().equals(whole.to_profiles_table())


def test_profile_blocks_refuse_an_unsorted_table(small_parameters, rows_of, table_of):
    rows = rows_of(np.random.default_rng(9), 3)
    for row, name in zip(rows, ("a", "\u00e9", "b"), strict=True):
        row["account_id"] = name
    with pytest.raises(UsageError, match="'b' comes after '\u00e9' in row 2; sort"):
        list(Engine(small_parameters).profile_blocks(table_of(rows)))
    assert list(Engine(small_parameters).profile_blocks(table_of([]))) == []


def test_no_records_no_profiles(backend, small_parameters, table_of):
    empty = Engine(small_parameters, backend).profiles(table_of([]))
    assert len(empty) == 0
    assert empty.equals(Profiles.empty(small_parameters))


def test_chunks_slices_and_dictionaries_do_not_show(small_parameters, rows_of, table_of):
    import pyarrow as pa

    engine, table = Engine(small_parameters), table_of(rows_of(np.random.default_rng(11), 50))
    expected = engine.profiles(table.slice(7, 30))
    pieces = pa.concat_tables([table.slice(7, 10), table.slice(17, 0), table.slice(17, 20)])
    assert pieces.column("embedding").num_chunks > 1
    assert engine.profiles(pieces).equals(expected)
    for name in ("account_id", "model", "status"):
        column = pieces.schema.get_field_index(name)
        pieces = pieces.set_column(column, name, pieces.column(name).dictionary_encode())
    assert engine.profiles(pieces).equals(expected)


def test_a_vector_off_the_grid_is_refused_with_its_account(small_parameters, rows_of, table_of):
    rows = rows_of(np.random.default_rng(1), 5, accounts=("x",))
    rows[3]["embedding"] = b"\x7f" * 8
    with pytest.raises(OutOfBounds, match=r"account 'x' has squared norm 129032; .* allows 2896"):
        Engine(small_parameters).profiles(table_of(rows))
    with pytest.raises(OutOfBounds, match="account 'x' has squared norm 129032"):
        Engine(small_parameters).heavy_parts(table_of(rows))


def test_token_counts_that_could_wrap_are_refused(small_parameters, rows_of, table_of):
    rows = rows_of(np.random.default_rng(1), 3)
    rows[1]["output_tokens"] = 2**62
    with pytest.raises(OutOfBounds, match="4611686018427387904 tokens"):
        Engine(small_parameters).profiles(table_of(rows))


def test_columns_that_are_missing_or_wrong_are_named(small_parameters, rows_of, table_of):
    engine, table = Engine(small_parameters), table_of(rows_of(np.random.default_rng(1), 3))
    with pytest.raises(UsageError, match="lack column 'status'"):
        engine.profiles(table.drop_columns(["status"]))
    with pytest.raises(UsageError, match=r"fixed_size_binary\[8\]; this space needs fixed_size_binary\(16\)"):
        Engine(Parameters.generate(EmbeddingSpace("wide", 16))).profiles(table)
    rows = rows_of(np.random.default_rng(1), 3)
    rows[0]["account_id"] = None
    with pytest.raises(UsageError, match="'account_id' has 1 nulls"):
        engine.profiles(table_of(rows))
    with pytest.raises(UsageError, match="window_seconds is 0"):
        Engine(small_parameters, window_seconds=0)
