"""Each macro's own tests, which lie below it in its file, and its agreement with the core's numbers."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pytest

from pipeline import readings
from pipeline.lake.reader import read_profiles
from pipeline.profiles.schema import ASKABLE_FIELDS
from pipeline.warehouse import connect, load_tree

MACROS = load_tree()["macros"]
CASES = [
    pytest.param(statement.query.strip(), id=f"{file.name}-{number}")
    for file in MACROS
    for number, statement in enumerate(duckdb.connect().extract_statements(file.tests) if file.tests else [])
]


@pytest.fixture
def session(empty_session: Any) -> Any:
    return empty_session.cursor()


@pytest.mark.parametrize("file", MACROS, ids=lambda file: file.name)
def test_every_macro_has_tests(file: Any) -> None:
    assert "select" in file.tests


@pytest.mark.parametrize("query", CASES)
def test_macro(session: Any, query: str) -> None:
    rows = session.execute(query).fetchall()
    assert rows
    assert all(row == (True,) for row in rows)


def test_macros_and_core_tell_an_analyst_the_same_number(populated: Any) -> None:
    session = connect(populated.path)
    profiles = read_profiles(populated.lake.snapshot(), populated.engine)
    # What is landed and not rolled up is in the profiles and not yet in `windows`: compare accounts and windows
    # that are complete there.
    found = session.execute(
        "select account_id, epoch_us(window_start), records, topic_entropy(topic_count), top_share(template_hashed_count), "
        "dense_counts(hour_histogram, 24), dense_counts(minute_histogram, 60), count_total(latency_histogram) "
        "from windows order by account_id, window_start"
    ).fetchall()
    assert len(found) > 200
    entropies = readings.topic_entropy(profiles)
    shares = readings.dominant_share(profiles, "template_hashed_count")
    at = {
        key: row
        for row, key in enumerate(zip(profiles.account_id, profiles.window_start.tolist(), strict=True))
    }
    compared = 0
    for account, start, records, entropy, share, hours, minutes, latencies in found:
        row = at[account, start]
        if profiles.records[row] != records:
            continue
        compared += 1
        assert entropy == pytest.approx(entropies[row], abs=1e-12)
        assert share == pytest.approx(shares[row], abs=1e-12)
        assert hours == profiles.askable["hour_histogram"][row].tolist()
        assert minutes == profiles.askable["minute_histogram"][row].tolist()
        assert latencies == profiles.askable["latency_histogram"][row].sum()
    assert compared > 150


def test_the_lowest_value_of_a_quantile_brackets_the_true_one(session: Any) -> None:
    values = np.random.default_rng(3).integers(0, 10_000, 101)
    buckets = np.where(values <= 0, 0, np.floor(np.log2(np.maximum(values, 1))) + 1).astype(int)
    counts = [
        {"bucket": int(b), "count": int(c)}
        for b, c in zip(*np.unique(buckets, return_counts=True), strict=True)
    ]
    for quantile in (0.05, 0.5, 0.9, 1.0):
        low = session.execute(
            'select histogram_quantile($counts::struct(bucket integer, "count" bigint)[], $quantile)',
            {"counts": counts, "quantile": quantile},
        ).fetchone()[0]
        true = int(np.quantile(values, quantile, method="inverted_cdf"))
        assert low <= true < max(2 * low, 1)


def test_a_dense_list_is_as_long_as_its_field(session: Any) -> None:
    for size in ASKABLE_FIELDS.values():
        query = 'select len(dense_counts([]::struct(bucket integer, "count" bigint)[], $size))'
        assert session.execute(query, {"size": size}).fetchone() == (size,)
