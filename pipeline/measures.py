"""What a record says, as integers: counters, buckets and hashes of the columns a profile reads.

Everything that looks at text looks at each distinct value once, through Arrow's dictionary encoding.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.kernels.distinct import clean_hashes
from pipeline.kernels.histograms import hash_buckets, log2_buckets
from pipeline.profiles.schema import ASKABLE_FIELDS, CELL_OFFSETS, EMBEDDING_NORM2, LIGHT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

ENGINE_COLUMNS = (
    "account_id",
    "event_time",
    "embedding",
    "input_tokens",
    "output_tokens",
    "reasoning_requested",
    "logprobs",
    "stream",
    "choice_count",
    "status",
    "language",
    "latency_ms",
    "temperature",
    "top_p",
    "max_tokens",
    "prompt_hash",
    "template_hash",
    "system_prompt_hash",
    "client_network",
    "user_agent",
    "model",
)
"""The columns of a records table that a profile is made from."""

HEAVY_COLUMNS = ("account_id", "embedding", "prompt_hash", "template_hash", "client_network")
"""Those that its heavy part is made from."""

_FAILURES = frozenset({"error", "failure", "timeout"})
_REFUSALS = frozenset({"refused", "refusal", "content_filter"})
_DISTINCT_COLUMNS = ("prompt_hash", "template_hash")
_MICROSECONDS_PER_MINUTE = 60_000_000
_REMEMBERED = 1 << 16
"""Hashes kept: logs repeat the same networks and clients block after block."""

_FIXED_POINT = 10_000
"""Temperature and top_p are told apart to four decimals."""


@lru_cache(maxsize=_REMEMBERED)
def text_hash(field: str, value: str) -> int:
    """BLAKE2b-64 of a text without a secret, personalised by the field; anyone can recompute it from records.

    Parameters
    ----------
    field
        Name of the column; ``dw-<field>``, cut to 16 bytes, personalises the hash.
    value
        The text.
    """
    return _hash64(field, value.encode())


@lru_cache(maxsize=_REMEMBERED)
def sampling_hash(
    temperature: int | None, top_p: int | None, max_tokens: int | None, choice_count: int | None
) -> int:
    """BLAKE2b-64 of the sampling parameters: four decimal numbers, or nothing, joined by ``|``.

    ``temperature`` and ``top_p`` are ``rint(10000 x)``.
    """
    parts = ("" if part is None else str(part) for part in (temperature, top_p, max_tokens, choice_count))
    return _hash64("sampling", "|".join(parts).encode())


def _hash64(field: str, data: bytes) -> int:
    person = f"dw-{field}".encode()[:16]
    value = int.from_bytes(hashlib.blake2b(data, digest_size=8, person=person).digest(), "little")
    return min(value, 2**64 - 2)


def is_error(status: str) -> bool:
    """Whether a status means failure: ``error``, ``failure``, ``timeout`` or an HTTP code 4xx or 5xx."""
    low = status.lower()
    return low in _FAILURES or (len(low) == 3 and low[0] in "45" and low.isascii() and low.isdigit())


def is_refusal(status: str) -> bool:
    """Whether a status means that the model or a filter refused."""
    return status.lower() in _REFUSALS


def is_other_language(language: str) -> bool:
    """Whether a language tag's primary subtag is something else than ``en``; an empty tag says nothing."""
    primary = language.strip().lower().replace("_", "-").split("-")[0]
    return primary not in {"", "en"}


class Measures:
    """Integers of n records, read once from a table.

    Parameters
    ----------
    records
        Needs `ENGINE_COLUMNS`; more columns do no harm.

    Attributes
    ----------
    event_time
        int64[n], microseconds since 1970.
    light
        int64[11, n], one row per light field; ``embedding_norm2`` is left 0 for the engine to fill.
    cells
        List of int64[n], cells of the askable fields without topics, negative where null.
    hashes
        For each sketch: row numbers int64[m] and hashes uint64[m] of the records that have one.

    Raises
    ------
    UsageError
        A column is missing, or a required one has nulls.
    """

    def __init__(self, records: pa.Table) -> None:
        missing = [name for name in ENGINE_COLUMNS if name not in records.column_names]
        if missing:
            msg = f"the records lack column {missing[0]!r}; profiles need all of ENGINE_COLUMNS"
            raise UsageError(msg)
        self.rows = records.num_rows
        self._columns = {name: _whole(records.column(name)) for name in ENGINE_COLUMNS}
        for name in ("account_id", "event_time", "embedding"):
            if self._columns[name].null_count:
                msg = f"column {name!r} has {self._columns[name].null_count} nulls; only decoded records have profiles"
                raise UsageError(msg)
        self.event_time = _int64(self._columns["event_time"].cast(pa.timestamp("us")).cast(pa.int64()))
        self.light = self._light()
        self.hashes: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]] = []
        self.cells = self._cells()

    @property
    def accounts(self) -> pa.Array:
        """Account ids, strings or dictionary."""
        return self._columns["account_id"]

    def embeddings(self, dimension: int) -> npt.NDArray[np.int8]:
        """Grid vectors, int8[n, d], without a copy.

        Raises
        ------
        UsageError
            The column holds something else than d bytes a row.
        """
        return _grid_vectors(self._columns["embedding"], dimension)

    def _light(self) -> npt.NDArray[np.int64]:
        out = np.zeros((len(LIGHT_FIELDS), self.rows), dtype=np.int64)
        fill: dict[str, Any] = {
            "records": 1,
            "input_tokens": self._numbers("input_tokens"),
            "output_tokens": self._numbers("output_tokens"),
            "reasoning_requested": self._flags("reasoning_requested"),
            "logprobs": self._flags("logprobs"),
            "multiple_choices": self._numbers("choice_count") > 1,
            "streamed": self._flags("stream"),
            "errors": self._distinct("status", is_error),
            "refusals": self._distinct("status", is_refusal),
            "other_language": self._distinct("language", is_other_language),
        }
        for name, values in fill.items():
            out[LIGHT_FIELDS.index(name)] = values
        assert not out[EMBEDDING_NORM2].any()
        return out

    def _cells(self) -> list[npt.NDArray[np.int64]]:
        minutes = self.event_time // _MICROSECONDS_PER_MINUTE
        found = {
            "minute_histogram": minutes % 60,
            "hour_histogram": minutes // 60 % 24,
            "input_tokens_histogram": self._log2("input_tokens"),
            "output_tokens_histogram": self._log2("output_tokens"),
            "latency_histogram": self._log2("latency_ms"),
            "sampling_hashed_count": hash_buckets(self._sampling(), xp=np),
        }
        for column in ("prompt_hash", "template_hash", "system_prompt_hash"):
            hashes, valid = _hash_column(self._columns[column])
            if column in _DISTINCT_COLUMNS:
                self.hashes.append(_present(hashes, valid))
            if column != "prompt_hash":
                found[f"{column.removesuffix('_hash')}_hashed_count"] = _masked(
                    hash_buckets(hashes, xp=np), valid
                )
        for column in ("client_network", "user_agent", "model"):
            hashes, valid = _text_hashes(column, self._columns[column])
            if column == "client_network":
                self.hashes.append(_present(hashes, valid))
            found[f"{column}_hashed_count"] = _masked(hash_buckets(hashes, xp=np), valid)
        assert set(found) | {"topic_count"} == set(ASKABLE_FIELDS)
        return [np.where(cell >= 0, cell + CELL_OFFSETS[name], -1) for name, cell in found.items()]

    def _numbers(self, name: str) -> npt.NDArray[np.int64]:
        """An integer column, nulls as 0."""
        if self._absent(name):
            return np.zeros(self.rows, dtype=np.int64)
        return _int64(self._columns[name].cast(pa.int64()).fill_null(0))

    def _flags(self, name: str) -> npt.NDArray[np.bool_]:
        if self._absent(name):
            return np.zeros(self.rows, dtype=bool)
        return np.asarray(
            self._columns[name].cast(pa.bool_()).fill_null(False).to_numpy(zero_copy_only=False)
        )

    def _absent(self, name: str) -> bool:
        """Whether the column has no value at all, as those have that a producer does not know."""
        return bool(self._columns[name].null_count == self.rows)

    def _log2(self, name: str) -> npt.NDArray[np.int64]:
        if self._absent(name):
            return np.full(self.rows, -1, dtype=np.int64)
        return _masked(log2_buckets(self._numbers(name), xp=np), _valid(self._columns[name]))

    def _distinct(self, name: str, test: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
        """A test of a text column, made once per distinct value; nulls fail it."""
        codes, values = _encode(self._columns[name])
        answers = np.fromiter((test(value) for value in values), dtype=bool, count=len(values))
        return np.append(answers, False)[codes]  # code -1, null, takes the last

    def _sampling(self) -> npt.NDArray[np.uint64]:
        """Hashes of the sampling parameters, uint64[n]; computed once per distinct combination."""
        parts = [
            _fixed_point(self._columns["temperature"]),
            _fixed_point(self._columns["top_p"]),
            self._columns["max_tokens"].cast(pa.int64()),
            self._columns["choice_count"].cast(pa.int64()),
        ]
        code = np.zeros(self.rows, dtype=np.int64)
        for part in parts:
            codes, values = _encode(part)
            if not values:
                continue  # null in all rows tells none apart
            # Re-encoded after each step, so the product of two counts of distinct values stays far below 2**63.
            mixed = pa.array(code * (len(values) + 1) + codes + 1)
            code, _ = _encode(mixed)
        first = np.full(int(code.max(initial=-1)) + 1, self.rows, dtype=np.int64)
        np.minimum.at(first, code, np.arange(self.rows))
        chosen = pa.array(first)
        columns = [part.take(chosen).to_pylist() for part in parts]
        table = np.fromiter(
            (sampling_hash(*row) for row in zip(*columns, strict=True)), np.uint64, count=len(first)
        )
        return table[code]


class HeavyMeasures:
    """What the heavy part of a profile reads of n records: ``accounts``, grid vectors and ``hashes``, as in `Measures`.

    Parameters
    ----------
    records
        Needs `HEAVY_COLUMNS`, from records that were landed.
    """

    def __init__(self, records: pa.Table) -> None:
        columns = {name: _whole(records.column(name)) for name in HEAVY_COLUMNS}
        self.rows = records.num_rows
        self.accounts = columns["account_id"]
        self._embedding = columns["embedding"]
        self.hashes = [_present(*_hash_column(columns[name])) for name in _DISTINCT_COLUMNS]
        self.hashes.append(_present(*_text_hashes("client_network", columns["client_network"])))

    def embeddings(self, dimension: int) -> npt.NDArray[np.int8]:
        """As `Measures.embeddings`."""
        return _grid_vectors(self._embedding, dimension)


def _grid_vectors(column: pa.Array, dimension: int) -> npt.NDArray[np.int8]:
    rows = len(column)
    if not pa.types.is_fixed_size_binary(column.type) or column.type.byte_width != dimension:
        msg = f"column 'embedding' is {column.type}; this space needs fixed_size_binary({dimension})"
        raise UsageError(msg)
    if rows == 0:
        return np.empty((0, dimension), dtype=np.int8)
    values = np.frombuffer(column.buffers()[1], dtype=np.int8)
    return values[column.offset * dimension : (column.offset + rows) * dimension].reshape(-1, dimension)


def _valid(column: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Which values are there; None means all of them."""
    if column.null_count == 0:
        return None
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False))


def _hash_column(column: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_] | None]:
    column = column.cast(pa.uint64())
    values = np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.uint64)
    return clean_hashes(values, xp=np), _valid(column)


def _text_hashes(name: str, column: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_] | None]:
    codes, values = _encode(column)
    table = np.fromiter((text_hash(name, value) for value in values), dtype=np.uint64, count=len(values))
    valid = codes >= 0
    return np.append(table, np.uint64(0))[codes], None if valid.all() else valid


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; no copy when it is one already."""
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _int64(column: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)


def _encode(column: pa.Array) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Codes int64[n] (-1 for null) and the distinct values."""
    if column.null_count == len(column):
        return np.full(len(column), -1, dtype=np.int64), []
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int64), column.dictionary.to_pylist()


def _fixed_point(column: pa.Array) -> pa.Array:
    """``rint(10000 x)`` as integers; null and what is not finite are null."""
    if column.null_count == len(column):
        return pa.nulls(len(column), pa.int64())
    values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    finite = np.isfinite(values)
    # Beyond 2**53 a float has no decimals to tell apart; the cast must not overflow.
    scaled = np.clip(np.where(finite, values, 0.0) * _FIXED_POINT, -(2.0**53), 2.0**53)
    return pa.array(np.rint(scaled).astype(np.int64), mask=~finite)


def _masked(cells: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
    return cells if valid is None else np.where(valid, cells, -1)


def _present(
    hashes: npt.NDArray[np.uint64], valid: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    if valid is None:
        return np.arange(len(hashes)), hashes
    rows = np.flatnonzero(valid)
    return rows, hashes[rows]
