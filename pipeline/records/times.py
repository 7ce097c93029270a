"""Event times to whole microseconds since 1970 (UTC), floored, by one rule on every path.

A text is RFC 3339 (``T`` or a space, any number of fraction digits, ``Z`` or an offset); **without an offset
it is read as UTC**, because a naive Parquet timestamp is too. A leap second ``:60`` is the first instant of the
next minute. A number is seconds since the epoch; of a double, the microsecond whose nearest double it is
(so that ``1764000000.123457`` means .123457), else the floor.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

MICROSECONDS = 1_000_000
MAX_SECONDS = 253_402_300_800  # year 10000; beyond it no time is representable in RFC 3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))?", re.ASCII
)
_WIDTH = 35  # 2026-01-01T00:00:00.123456789+00:00
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def parse_time(text: str) -> int:
    """Microseconds since the epoch of one RFC 3339 text; the plain form of `parse_times`.

    Raises
    ------
    ValueError
        If the text is not RFC 3339 or names no instant.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        msg = "not RFC 3339"
        raise ValueError(msg)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    leap = second == 60
    instant = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    # Integer arithmetic on the parts: a time in year 1 with an offset may lie outside what datetime holds.
    total = (instant - _EPOCH) // timedelta(seconds=1) + leap
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            msg = "offset beyond 23:59"
            raise ValueError(msg)
        total -= (hours * 3600 + minutes * 60) * (-1 if match[9] == "-" else 1)
    fraction = int((match[7] or "0")[:6].ljust(6, "0"))  # cutting digits is flooring: fractions count upwards
    return total * MICROSECONDS + fraction


def seconds_to_microseconds(value: float) -> int:
    """Microseconds of one number of seconds; the plain form of `seconds_to_times`.

    Raises
    ------
    ValueError
        If the number is not finite or beyond year 9999.
    """
    if isinstance(value, int):
        if abs(value) >= MAX_SECONDS:
            msg = "beyond year 9999"
            raise ValueError(msg)
        return value * MICROSECONDS
    times, good = seconds_to_times(np.array([value], np.float64))
    if not good[0]:
        msg = "beyond year 9999"
        raise ValueError(msg)
    return int(times[0])


def seconds_to_times(seconds: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds of numbers of seconds, and which of them are times at all.

    Parameters
    ----------
    seconds
        int or float64 ``[n]``.

    Returns
    -------
    times, good
        int64 ``[n]`` (0 where not good) and bool ``[n]``.
    """
    if seconds.dtype.kind in "iu":
        whole = np.where(seconds > MAX_SECONDS, MAX_SECONDS, seconds).astype(np.int64)  # type: ignore[operator]
        good = (whole < MAX_SECONDS) & (whole > -MAX_SECONDS)
        return np.where(good, whole, 0) * MICROSECONDS, good
    values = seconds.astype(np.float64)
    good = np.abs(values) < MAX_SECONDS  # False for NaN
    values = np.where(good, values, 0.0)
    # The fraction apart: above 2**31 s a whole product would already be rounded to a half or a quarter.
    whole = np.floor(values)
    parts = whole.astype(np.int64) * MICROSECONDS + np.floor((values - whole) * 1e6).astype(np.int64)
    nearest = np.rint(values * 1e6)
    return np.where(nearest / 1e6 == values, nearest.astype(np.int64), parts), good


def parse_times(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds of RFC 3339 texts, vectorised over the bytes of the column.

    Parameters
    ----------
    texts
        string ``[n]``; nulls are "not good".

    Returns
    -------
    times, good
        int64 ``[n]`` (0 where not good) and bool ``[n]``. What is not good here may still be a time
        (more than nine fraction digits, a leap second): ask `parse_time`.
    """
    n = len(texts)
    if n == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + n + 1].astype(np.int64)
    lengths = np.diff(offsets)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    first, last = int(offsets[0]), int(offsets[-1])
    length = int(lengths[0])
    if last > first and length <= _WIDTH and (lengths == length).all():
        # Usual: one gateway writes one format, and the texts are the rows of a matrix already.
        chars = np.zeros((n, _WIDTH + 1), np.int16)
        chars[:, :length] = data[first:last].reshape(n, length)
    else:
        padded = np.concatenate([data[first:last], np.zeros(_WIDTH + 1, np.uint8)])
        index = (offsets[:-1] - first)[:, None] + np.arange(_WIDTH + 1)
        np.minimum(index, len(padded) - 1, out=index)
        chars = padded[index].astype(np.int16)
        chars[np.arange(_WIDTH + 1) >= lengths[:, None]] = 0
    times, good = _parse_characters(chars, lengths)
    if texts.null_count:
        good &= texts.is_valid().to_numpy(zero_copy_only=False)
    return np.where(good, times, 0), good


def _parse_characters(
    chars: NDArray[np.int16], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    columns = np.ascontiguousarray(chars.T)  # one contiguous row per character position
    digit = columns - 48
    is_digit = (digit >= 0) & (digit <= 9)

    def number(*places: int) -> NDArray[np.int64]:
        value = np.zeros(len(lengths), np.int64)
        for place in places:
            value = value * 10 + digit[place]
        return value

    good = (lengths >= 19) & (lengths <= _WIDTH)
    for place in (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18):
        good &= is_digit[place]
    for place, wanted in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        good &= columns[place] == ord(wanted)
    good &= (columns[10] == ord("T")) | (columns[10] == ord("t")) | (columns[10] == ord(" "))

    year, month, day = number(0, 1, 2, 3), number(5, 6), number(8, 9)
    hour, minute, second = number(11, 12), number(14, 15), number(17, 18)
    leap_year = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= (year >= 1) & (month >= 1) & (month <= 12) & (hour <= 23) & (minute <= 59) & (second <= 59)
    last_day = _DAYS[np.clip(month, 1, 12) - 1] + (leap_year & (month == 2))
    good &= (day >= 1) & (day <= last_day)

    # The fraction: a point and then digits, as many as there are.
    point = columns[19] == ord(".")
    run = np.zeros(len(lengths), np.int64)
    microseconds = np.zeros(len(lengths), np.int64)
    going = point.copy()
    for place in range(20, _WIDTH + 1):
        going &= is_digit[place]
        if not going.any():
            microseconds *= 10 ** max(0, 26 - place)
            break
        run += going
        if place < 26:
            microseconds = microseconds * 10 + np.where(going, digit[place], 0)
    good &= ~point | (run > 0)

    zone_at = np.where(point, 20 + run, 19)
    rest = lengths - zone_at
    rows = np.arange(len(lengths))

    def at(step: int) -> NDArray[np.int16]:
        found: NDArray[np.int16] = columns[np.minimum(zone_at + step, _WIDTH), rows]
        return found

    sign = at(0)
    utc = (rest == 0) | ((rest == 1) & ((sign == ord("Z")) | (sign == ord("z"))))
    shift = np.zeros(len(lengths), np.int64)
    if not utc.all():
        parts = [at(step).astype(np.int64) - 48 for step in (1, 2, 4, 5)]
        offset_hour, offset_minute = parts[0] * 10 + parts[1], parts[2] * 10 + parts[3]
        numeric = (rest == 6) & ((sign == ord("+")) | (sign == ord("-"))) & (at(3) == ord(":"))
        for part in parts:
            numeric &= (part >= 0) & (part <= 9)
        numeric &= (offset_hour <= 23) & (offset_minute <= 59)
        shift = np.where(numeric, (offset_hour * 60 + offset_minute) * np.where(sign == ord("-"), -1, 1), 0)
        good &= utc | numeric

    # Days since 1970 of the proleptic Gregorian calendar, with March as the first month
    # (H. Hinnant, "chrono-compatible low-level date algorithms", days_from_civil).
    shifted = year - (month <= 2)
    era, of_era = shifted // 400, shifted % 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    total = (days * 24 + hour) * 3600 + (minute - shift) * 60 + second
    return total * MICROSECONDS + microseconds, good
