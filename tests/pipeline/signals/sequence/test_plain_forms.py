"""Signals that were made fast, digit for digit against the plain form of their formula."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pipeline.backend import get_backend
from pipeline.parameters import Parameters
from pipeline.signals.sequence import COLUMNS, SEQUENCE_SIGNALS, AccountSequence, sequences
from pipeline.signals.sequence.base import (
    COMPARED,
    LATER_US,
    SESSION_GAP_US,
    UNKNOWN,
    Kinds,
    Margins,
    centred,
    expected_distinct,
    rounded,
    spaced,
)
from pipeline.signals.sequence.dependence import MINIMUM, clock, indicators, ordered
from pipeline.signals.sequence.reading import account_reads, one
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


def lags(records: AccountSequence) -> np.ndarray:
    return np.abs(records.time[:, None] - records.time[None, :])


def plain_centred(kernel: np.ndarray) -> np.ndarray:
    n = len(kernel)
    free = kernel - np.diag(np.diag(kernel))
    row = free.sum(axis=1)
    out = free - row[:, None] / (n - 2) - row[None, :] / (n - 2) + row.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0.0)
    return out


def plain_dependence(records: AccountSequence, features: np.ndarray, known: np.ndarray) -> float:
    rows = spaced(np.flatnonzero(known), COMPARED)
    if len(rows) < MINIMUM or not np.ptp(features[rows], axis=0).any():
        return NAN
    content = plain_centred(records.cosine[np.ix_(rows, rows)].astype(np.float64))
    other = plain_centred(features[rows] @ features[rows].T)
    size = float((content * content).sum() * (other * other).sum())
    if size <= 1e-12:
        return NAN
    n = len(rows)
    r = min(float((content * other).sum() / np.sqrt(size)), 1 - 1e-9)
    return float(np.sqrt(n * (n - 3) / 2 - 1) * r / np.sqrt(1 - r * r))


def on_codes(field: str) -> Callable[[AccountSequence], float]:
    def plain(records: AccountSequence) -> float:
        codes = records.code(field)
        return plain_dependence(records, indicators(codes), codes != UNKNOWN)

    return plain


def on_number(field: str) -> Callable[[AccountSequence], float]:
    def plain(records: AccountSequence) -> float:
        values = records.number(field)
        return plain_dependence(records, ordered(values), values != UNKNOWN)

    return plain


def behaviour(records: AccountSequence) -> float:
    fields = ("sampling", "system_prompt", "model", "agent", "reasoning")
    parts = [indicators(records.code(name)) for name in fields]
    parts.append(ordered(records.number("output_tokens")))
    scaled = [part / np.sqrt(max(float((part * part).sum()), 1e-12)) for part in parts]
    return plain_dependence(records, np.concatenate(scaled, axis=1), np.ones(len(records), bool))


def recency(records: AccountSequence) -> float:
    near = (lags(records) <= SESSION_GAP_US) & records.other_prompt
    later = (lags(records) > LATER_US) & records.other_prompt
    if near.sum() < 20 or later.sum() < 20:
        return NAN
    now, then = (float(records.cosine[pairs].mean(dtype=np.float64)) for pairs in (near, later))
    return (now - then) / (1.0 - then) if then < 1 - 1e-6 else NAN


def wander(records: AccountSequence) -> float:
    n = len(records)
    step = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :])
    near = (step > n // 20) & (step <= max(n // 10, n // 20 + 1)) & records.other_prompt
    if near.sum() < 20 or records.mean_cosine > 1 - 1e-6:
        return NAN
    value = float(records.cosine[near].mean(dtype=np.float64))
    return (value - records.mean_cosine) / (1.0 - records.mean_cosine)


def neighbour_distance(records: AccountSequence) -> float:
    cosine = np.where(records.other_prompt, records.cosine, np.float32(np.nan))
    others = records.other_prompt.sum(axis=1)
    usable = others >= 10
    if usable.sum() < 10:
        return NAN
    place = np.ceil(others[usable] / 50).astype(np.int64) - 1
    nearest = np.sort(-cosine[usable], axis=1)
    return float(np.median(1.0 + nearest[np.arange(len(place)), place].astype(np.float64)))


def near_pairs(records: AccountSequence) -> float:
    rows = np.flatnonzero(records.first_time)
    n = len(rows)
    if n < 20:
        return NAN
    return float((records.cosine[np.ix_(rows, rows)] >= np.float32(0.85)).sum() - n) / (n * (n - 1))


def topic_return(records: AccountSequence) -> float:
    rows = np.flatnonzero(records.first_time)
    later = lags(records)[np.ix_(rows, rows)] > LATER_US
    near = records.cosine[np.ix_(rows, rows)] >= np.float32(0.7)
    count = int(later.sum())
    if count < 200:
        return NAN
    return float(np.log((50.0 * (near & later).sum() + 1.0) / (count + 1.0) + 1e-3))


def later_repeats(records: AccountSequence) -> float:
    later = lags(records) > LATER_US
    count = int(later.sum())
    return NAN if count < 100 else float((later & ~records.other_prompt).sum()) / count


def region_growth(records: AccountSequence) -> float:
    n = len(records)
    fresh = np.flatnonzero(~np.tril(records.cosine >= np.float32(0.7), -1).any(axis=1))
    return float(np.log(len(fresh) / (fresh < n // 4).sum()) / np.log(n / (n // 4)))


def chunk_coverage(records: AccountSequence) -> float:
    chunks = len(records) // 20
    if chunks < 3:
        return NAN
    expected = expected_distinct(np.unique(records.topic, return_counts=True)[1], 20)
    met = [len(np.unique(records.topic[i * 20 : i * 20 + 20])) for i in range(chunks)]
    return float(np.log(np.mean(met) / expected))


PLAIN: dict[str, Callable[[AccountSequence], float]] = {
    **{f"{name}_dependence": on_codes(name) for name in ("agent", "model", "network", "reasoning")},
    **{f"{name}_dependence": on_codes(name) for name in ("sampling", "system_prompt", "template")},
    "input_length_dependence": on_number("input_tokens"),
    "output_length_dependence": on_number("output_tokens"),
    "behaviour_dependence": behaviour,
    "hour_dependence": lambda r: plain_dependence(r, clock(r.time), np.ones(len(r), bool)),
    "recency_similarity": recency,
    "wander": wander,
    "neighbour_distance": neighbour_distance,
    "near_pair_rate": near_pairs,
    "topic_return": topic_return,
    "later_repeats": later_repeats,
    "region_growth": region_growth,
    "chunk_coverage": chunk_coverage,
}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    settings = WorldSettings(records=7000, accounts=24, seed=90_990, attack_share=0.25, days=5)
    return pa.concat_tables(list(Traffic(build_world(settings), datetime(2026, 1, 12, tzinfo=UTC))))


@pytest.fixture(scope="module")
def accounts(table: pa.Table) -> list[AccountSequence]:
    found = [each for _, each in sequences(table, Parameters.default(), get_backend("numpy"))]
    # Larger than `COMPARED`, so that spaced records are compared; some with unknown values.
    assert max(map(len, found)) > COMPARED
    assert any((each.code("template") == UNKNOWN).any() for each in found if len(each) > COMPARED)
    return [each for each in found if len(each) >= 30]


@pytest.mark.parametrize("name", list(PLAIN))
def test_is_its_plain_form_digit_for_digit(name: str, accounts: list[AccountSequence]) -> None:
    signal = SEQUENCE_SIGNALS[name]
    values = [signal.value(each) for each in accounts]
    assert sum(not math.isnan(value) for value in values) > 5
    for records, value in zip(accounts, values, strict=True):
        expected = rounded(PLAIN[name](records)) if len(records) >= signal.minimum else NAN
        assert value == expected or (math.isnan(value) and math.isnan(expected))


def test_one_odd_record_is_no_dependence(accounts: list[AccountSequence]) -> None:
    records = next(each for each in accounts if len(each) > 60)
    for odd in (3, 40):
        codes = (np.arange(len(records)) == odd).astype(np.int64)
        assert math.isnan(plain_dependence(records, indicators(codes), codes >= 0))
        changed = AccountSequence(records.vectors, records.time, records.topic, {"model": codes})
        assert math.isnan(SEQUENCE_SIGNALS["model_dependence"].value(changed))


@pytest.mark.parametrize("spread", [3, 40, 10**12])
def test_kinds_are_those_of_unique_however_far_codes_lie_apart(spread: int) -> None:
    rng = np.random.default_rng(spread)
    codes = rng.integers(-1, 9, 200) * (spread // 3)
    names, first, inverse, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    found = Kinds.of(codes)
    for one_, two in zip(
        (found.names, found.first, found.inverse, found.counts), (names, first, inverse, counts), strict=True
    ):
        np.testing.assert_array_equal(one_, two)
    assert len(Kinds.of(codes[:0]).names) == 0


def test_margins_centre_products_that_are_not_written_down() -> None:
    rng = np.random.default_rng(8)
    one_, two = rng.normal(size=(2, 20, 20))
    two += two.T
    for kernel in (one_, two):
        np.fill_diagonal(kernel, 0.0)
    margins, other = Margins.of(one_), Margins.of(two)
    np.testing.assert_array_equal(centred(one_), plain_centred(one_))
    assert margins.product(other, float((one_ * two).sum())) == pytest.approx(
        float((plain_centred(one_) * plain_centred(two)).sum())
    )
    assert margins.squared(float((one_**2).sum())) == pytest.approx(float((plain_centred(one_) ** 2).sum()))


def test_accounts_read_together_are_those_read_alone(table: pa.Table) -> None:
    parameters, backend = Parameters.default(), get_backend("numpy")
    counts = Counter(table["account_id"].to_pylist())
    for newest in (70, 2000):
        for account, rows, together in account_reads(table, parameters, backend, newest):
            alone = one(rows.select(list(COLUMNS)), parameters, backend)
            assert len(together) == len(alone) == rows.num_rows == min(newest, counts[account])
            for name in ("vectors", "time", "topic"):
                np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
            for name, signal in SEQUENCE_SIGNALS.items():
                if name in PLAIN:
                    a, b = signal.value(together), signal.value(alone)
                    assert a == b or (math.isnan(a) and math.isnan(b)), name
