from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.records.times import parse_time, parse_times, seconds_to_microseconds, seconds_to_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def vector(*texts: str | None) -> list[int | None]:
    times, good = parse_times(pa.array(texts, pa.string()))
    return [int(t) if g else None for t, g in zip(times, good, strict=True)]


@st.composite
def written_times(draw: st.DrawFn) -> tuple[str, int]:
    moment = draw(st.datetimes(datetime(1900, 1, 2), datetime(9999, 12, 30))).replace(microsecond=0)
    minutes = draw(st.none() | st.integers(-23 * 60 - 59, 23 * 60 + 59))
    digits = draw(st.text("0123456789", max_size=12))
    zone = UTC if minutes is None else timezone(timedelta(minutes=minutes))
    instant = (moment.replace(tzinfo=zone) - EPOCH) // timedelta(microseconds=1)
    expected = instant + (int(Fraction("0." + digits) * 1_000_000) if digits else 0)
    text = moment.strftime(f"{moment.year:04d}-%m-%d{draw(st.sampled_from('Tt '))}%H:%M:%S")
    text += f".{digits}" if digits else ""
    if minutes is None:
        text += draw(st.sampled_from(["Z", "z", ""]))
    else:
        text += f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    return text, expected


@given(st.lists(written_times(), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_every_rfc3339_time_is_floored_to_its_microsecond(times: list[tuple[str, int]]) -> None:
    for (text, expected), fast in zip(times, vector(*(text for text, _ in times)), strict=True):
        assert parse_time(text) == expected
        # What the vectorised form does not take goes to the plain one; it must never take it wrongly.
        assert fast == expected or (fast is None and len(text) > 35)


@given(st.text("0123456789-:.TZ+ tz/", max_size=30))
@example("2026-02-29T00:00:00Z")
@example("2026-01-01T00:00:00.Z")
@example("2026-01-01T24:00:00Z")
@example("2026-01-01T00:00:00+24:00")
@example("2026-01-01T00:00:00+0100")
@example("2026-01-01")
@example("")
@settings(max_examples=150, deadline=None)
def test_both_forms_refuse_the_same(text: str) -> None:
    try:
        expected: int | None = parse_time(text)
    except ValueError:
        expected = None
    assert vector(text) == [expected] or vector(text) == [None]
    if expected is None:
        assert vector("2026-01-01T00:00:00Z", text) == [1_767_225_600_000_000, None]


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_days_that_do_not_exist(text: str) -> None:
    assert vector(text) == [None]
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


def test_no_offset_is_utc_and_leap_seconds_are_the_next_minute() -> None:
    assert vector("2026-01-01T00:00:00") == [1_767_225_600_000_000]
    assert parse_time("2016-12-31T23:59:60Z") == parse_time("2017-01-01T00:00:00Z")


def test_nulls_and_slices() -> None:
    texts = pa.array(["x", "2026-01-01T00:00:00Z", None, "2026-01-01T00:00:01Z"]).slice(1)
    times, good = parse_times(texts)
    assert good.tolist() == [True, False, True]
    assert times.tolist() == [1_767_225_600_000_000, 0, 1_767_225_601_000_000]
    assert parse_times(pa.array([], pa.string()))[0].tolist() == []


@given(st.integers(0, 253_402_300_799_999_999 // 1000))
@settings(max_examples=200, deadline=None)
def test_a_double_with_six_decimals_means_that_microsecond(microseconds: int) -> None:
    # 15 digits: a double tells such numbers apart.
    seconds = float(f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}")
    assert seconds_to_microseconds(seconds) == microseconds


@given(st.floats(0, 1e10))
@settings(max_examples=200, deadline=None)
def test_other_doubles_are_floored(seconds: float) -> None:
    got = seconds_to_microseconds(seconds)
    exact = Fraction(seconds) * 1_000_000
    assert got == int(exact) or float(got) / 1e6 == seconds or 0 < got - exact < Fraction(1, 10**6)


def test_numbers_that_are_no_time() -> None:
    times, good = seconds_to_times(np.array([np.nan, np.inf, -np.inf, 1e12, 1.5]))
    assert good.tolist() == [False, False, False, False, True]
    assert times.tolist() == [0, 0, 0, 0, 1_500_000]
    assert seconds_to_microseconds(1_767_225_600) == 1_767_225_600_000_000
    with pytest.raises(ValueError, match="9999"):
        seconds_to_microseconds(1_767_225_600_000)
