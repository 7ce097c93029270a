"""What every record must satisfy, however it arrived: vectorised over the columns of a `Batch`.

Each check notes faults and leaves the columns in the state in which they land.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import Reason
from pipeline.records.limits import MAX_ASN, MAX_COUNT, MAX_ID_BYTES, MAX_REAL, MAX_TEXT_BYTES, shorten
from pipeline.records.times import MICROSECONDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.records.batch import Batch
    from pipeline.spaces import EmbeddingSpace

REQUIRED_IDS = ("request_id", "account_id")
OPTIONAL_IDS = ("organization_id", "payment_id", "client_network")
DESCRIPTIONS = ("embedding_model", "model", "operation", "language", "country", "user_agent", "status")
STRINGS = (*REQUIRED_IDS, *OPTIONAL_IDS, *DESCRIPTIONS)
COUNTS = ("input_tokens", "output_tokens", "max_tokens", "choice_count", "latency_ms")
INTEGERS = (*COUNTS, "asn")
REALS = ("temperature", "top_p")
BOOLEANS = ("logprobs", "stream", "reasoning_requested")

# 9999-12-30T23:59:59.999999Z: a day before the last time that tools can hold, so that a window's end is a time too.
LATEST = 253_402_214_399_999_999


def check_batch(batch: Batch, space: EmbeddingSpace, max_future_seconds: float) -> None:
    """All checks but the embedding's, in the order of the contract's fields."""
    check_identifiers(batch)
    check_times(batch, max_future_seconds)
    check_space(batch, space)
    check_numbers(batch)


def check_identifiers(batch: Batch) -> None:
    """Identifiers are there, not empty and not too long; an empty optional string is a missing one.

    An empty ``organization_id`` that stayed would make all accounts without one members of one organisation.
    """
    for name in REQUIRED_IDS:
        column = batch.columns[name]
        for row in _rows(pc.is_null(column)) if column.null_count else ():
            batch.fault(row, Reason.MISSING_FIELD, f"{name} is missing or null; every record needs one")
    for name in STRINGS:
        column = batch.columns.get(name)
        if column is not None and column.null_count < len(column):
            _check_length(batch, name, column)
            _check_blank(batch, name, batch.columns[name])


def _check_length(batch: Batch, name: str, column: pa.Array) -> None:
    lengths = pc.binary_length(column)
    if name in DESCRIPTIONS:
        if pc.max(lengths).as_py() > MAX_TEXT_BYTES:
            batch.columns[name] = _cut(column, lengths, MAX_TEXT_BYTES)
    elif pc.max(lengths).as_py() > MAX_ID_BYTES:
        for row in _rows(pc.greater(lengths, MAX_ID_BYTES)):
            batch.fault(
                row,
                Reason.OUT_OF_RANGE,
                f"{name} has {lengths[row].as_py()} bytes ({shorten(column[row].as_py(), 40)}); at most "
                f"{MAX_ID_BYTES} are taken, send a digest of a longer one",
            )


def _check_blank(batch: Batch, name: str, column: pa.Array) -> None:
    blank = pc.or_(pc.utf8_is_space(column), pc.equal(column, ""))  # of an empty text utf8_is_space says no
    if not pc.any(blank).as_py():
        return
    if name not in REQUIRED_IDS:
        batch.columns[name] = pc.if_else(blank, pa.scalar(None, pa.string()), column)
        return
    for row in _rows(blank):
        batch.fault(
            row,
            Reason.EMPTY_ID,
            f"{name} is {shorten(column[row].as_py())}; every record needs one that is not blank",
        )


def check_times(batch: Batch, max_future_seconds: float) -> None:
    """Event times lie between 1970 and the append time plus the bound (without an append time: year 9999)."""
    times = batch.times
    for row in np.flatnonzero(times < 0):
        batch.fault(
            int(row),
            Reason.TIME_BEFORE_1970,
            f"event_time is {_instant(int(times[row]))}, before 1970; send the time of the request",
        )
    if batch.append_times is None:
        latest: NDArray[np.int64] | int = LATEST
    else:
        known = batch.append_times >= 0
        # In integers: a float64 so far from 1970 counts in steps of 32 microseconds.
        ahead = int(min(max_future_seconds * MICROSECONDS, LATEST))
        bound = np.minimum(batch.append_times, LATEST // 1000) * 1000 + ahead
        latest = np.where(known, np.minimum(bound, LATEST), LATEST)
    for row in np.flatnonzero(times > latest):
        append = (
            ""
            if batch.append_times is None
            else f" (appended {_instant(int(batch.append_times[row]) * 1000)})"
        )
        batch.fault(
            int(row),
            Reason.TIME_BEYOND_BOUND,
            f"event_time is {_instant(int(times[row]))}, more than {max_future_seconds:g} s after the record was "
            f"appended{append}; {MILLISECONDS_HINT}",
        )


MILLISECONDS_HINT = "correct the producer's clock, send seconds (not milliseconds) if it is a number, or raise max_future_seconds"


def check_space(batch: Batch, space: EmbeddingSpace) -> None:
    """A record that names another embedding model is refused; one that names none is taken at its word."""
    column = batch.columns.get("embedding_model")
    if column is None or column.null_count == len(column):
        return
    other = pc.fill_null(pc.not_equal(column, space.model), False)
    if not pc.any(other).as_py():
        return
    for row in _rows(other):
        batch.fault(
            row,
            Reason.OTHER_SPACE,
            f"embedding_model is {shorten(column[row].as_py())}, this lake holds {space}; vectors of different "
            "models never mix: send them to a lake of their own, or embed with this model",
        )


def check_numbers(batch: Batch) -> None:
    """Counts in 0 … 2**40, AS numbers in 32 bits, reals finite; a NaN is a missing value."""
    for name in INTEGERS:
        column = batch.columns.get(name)
        if column is None or column.null_count == len(column):
            continue
        largest = MAX_ASN if name == "asn" else MAX_COUNT
        bounds = pc.min_max(column)
        if bounds["min"].as_py() < 0 or bounds["max"].as_py() > largest:
            for row in _rows(pc.or_(pc.less(column, 0), pc.greater(column, largest))):
                batch.fault(row, *integer_out_of_range(name, column[row].as_py()))
    for name in REALS:
        column = batch.columns.get(name)
        if column is None or column.null_count == len(column):
            continue
        unknown = pc.is_nan(column)
        if pc.any(unknown).as_py():
            column = pc.if_else(unknown, pa.scalar(None, pa.float64()), column)
            batch.columns[name] = column
        large = pc.greater(pc.abs(column), MAX_REAL)
        if pc.any(large).as_py():
            for row in _rows(large):
                batch.fault(
                    row,
                    Reason.OUT_OF_RANGE,
                    f"{name} is {column[row].as_py()!r}; at most {MAX_REAL:g} is taken, leave it out if unknown",
                )


def integer_out_of_range(name: str, value: float) -> tuple[Reason, str]:
    """Reason and detail for an integer outside its range."""
    largest = "2**32 - 1" if name == "asn" else "2**40"
    return (
        Reason.OUT_OF_RANGE,
        f"{name} is {shorten(value)}; it must lie in 0 … {largest}, leave it out if unknown",
    )


def _rows(mask: pa.Array) -> list[int]:
    flags = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return [int(row) for row in np.flatnonzero(flags)]


def _cut(column: pa.Array, lengths: pa.Array, limit: int) -> pa.Array:
    """Texts of at most ``limit`` bytes, cut between characters."""
    values = column.to_pylist()
    for row in _rows(pc.greater(lengths, limit)):
        values[row] = values[row].encode()[:limit].decode("utf-8", "ignore")
    return pa.array(values, pa.string())


def _instant(microseconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(microseconds // MICROSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{microseconds // MICROSECONDS} s since 1970"
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{microseconds % MICROSECONDS:06d}Z"
