"""What records say, value by value."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.measures import Measures, is_error, is_other_language, is_refusal, sampling_hash, text_hash
from pipeline.profiles.schema import CELL_OFFSETS, LIGHT_FIELDS


@pytest.mark.parametrize(
    ("status", "error", "refusal"),
    [
        ("ok", False, False),
        ("ERROR", True, False),
        ("Failure", True, False),
        ("timeout", True, False),
        ("400", True, False),
        ("599", True, False),
        ("399", False, False),
        ("600", False, False),
        ("40", False, False),
        ("4000", False, False),
        ("4xx", False, False),
        ("\u0664\u0660\u0660", False, False),
        ("Refused", False, True),
        ("refusal", False, True),
        ("content_filter", False, True),
        ("", False, False),
    ],
)
def test_status(status, error, refusal):
    assert (is_error(status), is_refusal(status)) == (error, refusal)


@pytest.mark.parametrize(
    ("tag", "other"),
    [
        ("en", False),
        ("EN", False),
        ("en-GB", False),
        ("en_us", False),
        ("eng", True),
        ("de-DE", True),
        ("", False),
    ],
)
def test_language(tag, other):
    assert is_other_language(tag) is other


def test_text_hash_can_be_recomputed_from_the_definition():
    expected = hashlib.blake2b(b"10.0.0.0/24", digest_size=8, person=b"dw-client_networ").digest()
    assert text_hash("client_network", "10.0.0.0/24") == int.from_bytes(expected, "little")
    assert text_hash("model", "x") != text_hash("user_agent", "x")


def test_sampling_hash_tells_parameters_and_their_places_apart():
    tuples = [
        (None, None, None, None),
        (1, None, None, None),
        (None, 1, None, None),
        (None, None, 1, None),
        (0, 0, 0, 0),
    ]
    assert len({sampling_hash(*one) for one in tuples}) == len(tuples)


def test_temperatures_are_told_apart_to_four_decimals_and_odd_ones_do_no_harm(rows_of, table_of):
    rows = rows_of(np.random.default_rng(0), 6)
    temperatures = [0.7, 0.70001, 0.7001, float("nan"), None, 1e300]
    for row, temperature in zip(rows, temperatures, strict=True):
        row |= {"temperature": temperature, "top_p": None, "max_tokens": None, "choice_count": None}
    found = Measures(table_of(rows))._sampling().tolist()
    assert found[0] == found[1] == sampling_hash(7000, None, None, None)
    assert found[2] == sampling_hash(7001, None, None, None)
    assert found[3] == found[4] == sampling_hash(None, None, None, None)
    assert found[5] == sampling_hash(2**53, None, None, None)


def test_nulls_are_not_counted_but_sampling_always_is(rows_of, table_of):
    rows = rows_of(np.random.default_rng(0), 1)
    for name in set(rows[0]) - {
        "topic_id",
        "topic",
        "partition",
        "offset",
        "row",
        "account_id",
        "event_time",
        "embedding",
    }:
        rows[0][name] = None
    measures = Measures(table_of(rows))
    cells = [int(cell[0]) for cell in measures.cells if cell[0] >= 0]
    fields = sorted(
        max(
            name
            for name in CELL_OFFSETS
            if CELL_OFFSETS[name] == max(o for o in CELL_OFFSETS.values() if o <= c)
        )
        for c in cells
    )
    assert fields == ["hour_histogram", "minute_histogram", "sampling_hashed_count"]
    assert measures.light[:, 0].tolist() == [int(name == "records") for name in LIGHT_FIELDS]
    assert all(len(rows) == 0 for rows, _ in measures.hashes)


def test_minutes_and_hours_are_utc(rows_of, table_of):
    rows = rows_of(np.random.default_rng(0), 1)
    rows[0]["event_time"] = (23 * 3600 + 59 * 60 + 59) * 10**6 + 999_999
    cells = {int(cell[0]) for cell in Measures(table_of(rows)).cells}
    assert {CELL_OFFSETS["minute_histogram"] + 59, CELL_OFFSETS["hour_histogram"] + 23} <= cells


def test_text_is_hashed_once_per_distinct_value(rows_of, table_of, monkeypatch):
    calls = []
    monkeypatch.setattr("pipeline.measures.text_hash", lambda field, value: calls.append((field, value)) or 1)
    Measures(table_of(rows_of(np.random.default_rng(0), 200)))
    assert len(calls) == len(set(calls)) == 3 + 2 + 3
