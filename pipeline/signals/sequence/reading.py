"""From a table of records to one `AccountSequence` per account."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.signals.sequence.base import NEWEST, UNKNOWN, AccountSequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.backend import Backend
    from pipeline.parameters import Parameters
    from pipeline.signals.sequence.base import Integers

FIELDS = {
    "prompt": "prompt_hash",
    "template": "template_hash",
    "system_prompt": "system_prompt_hash",
    "model": "model",
    "network": "client_network",
    "agent": "user_agent",
    "reasoning": "reasoning_requested",
    "language": "language",
}
SAMPLING = ("temperature", "top_p", "max_tokens", "choice_count")
SIZES = ("input_tokens", "output_tokens")
COLUMNS = (
    "account_id",
    "event_time",
    "request_id",
    "embedding",
    *FIELDS.values(),
    *SAMPLING,
    *SIZES,
)
"""Columns of a records table that sequences are read from."""


def sequences(
    records: pa.Table, parameters: Parameters, backend: Backend, newest: int = NEWEST
) -> Iterator[tuple[str, AccountSequence]]:
    """Each account of a table with its newest records, in order of the account id's bytes.

    Parameters
    ----------
    records
        Whole accounts, in any order; needs `COLUMNS`.
    parameters
        The codebook's.
    backend
        Finds topics.
    newest
        Records kept per account.

    Raises
    ------
    UsageError
        A column is missing.
    """
    for account, _, sequence in account_reads(records, parameters, backend, newest):
        yield account, sequence


def account_reads(
    records: pa.Table, parameters: Parameters, backend: Backend, newest: int = NEWEST
) -> Iterator[tuple[str, pa.Table, AccountSequence]]:
    """As `sequences`, each with the rows it was read from.

    Parameters
    ----------
    records, parameters, backend, newest
        As for `sequences`; the rows have `COLUMNS`.

    Raises
    ------
    UsageError
        A column is missing.
    """
    missing = [name for name in COLUMNS if name not in records.column_names]
    if missing:
        msg = f"the records lack column {missing[0]!r}; sequence signals need all of COLUMNS"
        raise UsageError(msg)
    table = records.select(list(COLUMNS)).combine_chunks()
    order = pc.sort_indices(
        table, [(name, "ascending") for name in ("account_id", "event_time", "request_id")]
    )
    table = _settled(table.take(order))
    edges = _edges(table["account_id"])
    if len(edges) > 1 and np.diff(edges).max() > newest:
        place = np.arange(table.num_rows)
        table = table.take(pa.array(place[np.repeat(edges[1:], np.diff(edges)) - place <= newest]))
        edges = _edges(table["account_id"])
    # Everything that is done row by row is done for all accounts at once: equal codes are equal values in each of them.
    whole = one(table, parameters, backend)
    for low, high in pairwise(edges.tolist()):
        yield table["account_id"][low].as_py(), table.slice(low, high - low), _part(whole, slice(low, high))


def _part(whole: AccountSequence, rows: slice) -> AccountSequence:
    return AccountSequence(
        whole.vectors[rows],
        whole.time[rows],
        whole.topic[rows],
        {name: values[rows] for name, values in whole.codes.items()},
        {name: values[rows] for name, values in whole.numbers.items()},
    )


def one(rows: pa.Table, parameters: Parameters, backend: Backend) -> AccountSequence:
    """The rows of one account, already in order."""
    rows = rows.combine_chunks()
    n, dimension = rows.num_rows, parameters.space.dimension
    vectors = _vectors(rows["embedding"], n, dimension)
    topic, norm2 = np.empty(n, np.int64), np.empty(n, np.int64)
    for low in range(0, n, backend.block_records):
        part = slice(low, low + backend.block_records)
        backend.topics(vectors[part], parameters, topic[part], norm2[part])
    codes = {name: _codes(rows[column]) for name, column in FIELDS.items()}
    sampling = np.zeros(n, np.int64)
    for column in SAMPLING:
        mine = _codes(rows[column]) + 1
        sampling = np.unique(sampling * (int(mine.max(initial=0)) + 1) + mine, return_inverse=True)[1]
    codes["sampling"] = sampling.astype(np.int64)
    numbers = {
        name: rows[name].cast(pa.int64()).fill_null(UNKNOWN).to_numpy().astype(np.int64) for name in SIZES
    }
    time = rows["event_time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy().astype(np.int64)
    return AccountSequence(vectors, time, topic, codes, numbers)


def _vectors(
    column: pa.ChunkedArray, n: int, dimension: int
) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    if n == 0:
        return np.empty((0, dimension), np.int8)
    array = pa.concat_arrays(column.chunks)
    values = np.frombuffer(array.buffers()[1], np.int8)
    return values[array.offset * dimension : (array.offset + n) * dimension].reshape(n, dimension)


def _codes(column: pa.ChunkedArray) -> Integers:
    encoded = pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    codes = encoded.indices.fill_null(UNKNOWN).to_numpy(zero_copy_only=False)
    return np.asarray(codes, np.int64)


def _edges(accounts: pa.ChunkedArray) -> Integers:
    codes = _codes(accounts)
    return np.concatenate([np.flatnonzero(np.diff(codes, prepend=-1)), [len(codes)]]).astype(np.int64)


def _settled(table: pa.Table) -> pa.Table:
    """Rows that agree in account, time and request id in an order of their contents: then arrival cannot show."""
    if table.num_rows < 2:
        return table
    same = np.ones(table.num_rows - 1, bool)
    for name in ("account_id", "event_time", "request_id"):
        column = _codes(table[name])
        same &= column[1:] == column[:-1]
    if not same.any():
        return table
    order = np.arange(table.num_rows)
    group = np.concatenate([[0], np.cumsum(~same)])
    for number in np.unique(group[1:][same]).tolist():
        rows = np.flatnonzero(group == number)
        texts = [repr([table[name][int(row)].as_py() for name in COLUMNS]) for row in rows]
        order[rows] = rows[sorted(range(len(rows)), key=texts.__getitem__)]
    return table.take(pa.array(order))
