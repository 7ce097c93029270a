"""The records of many accounts, account after account in order of time: what every baseline is handed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from pipeline.signals import Population, SignalTable

# One window for everything: only whole accounts are looked at.
_WINDOW_SECONDS = 86_400 * 20_000
ROWS = 8192


@dataclass(slots=True)
class Accounts:
    """n accounts.

    Parameters
    ----------
    account_id
        object[n], sorted.
    bounds
        int64[n + 1]; account i has rows ``bounds[i]`` to ``bounds[i + 1]``.
    vectors
        int8[rows, d], grid embeddings.
    table
        The records without their embeddings, in the record contract's columns.
    """

    account_id: NDArray[np.object_]
    bounds: NDArray[np.int64]
    vectors: NDArray[np.int8]
    table: pa.Table
    _signals: SignalTable | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.account_id)

    @property
    def records(self) -> NDArray[np.int64]:
        """Records of each account."""
        return np.diff(self.bounds)

    @classmethod
    def of(cls, records: pa.Table | Iterable[pa.Table]) -> Accounts:
        """Of records in any order."""
        table = records if isinstance(records, pa.Table) else pa.concat_tables(records)
        names = [name for name in table.column_names if name != "embedding"]
        order = pc.sort_indices(
            table.select(["account_id", "event_time", "request_id"]),
            sort_keys=[(name, "ascending") for name in ("account_id", "event_time", "request_id")],
        )
        width = table.schema.field("embedding").type.byte_width
        vectors = np.empty((table.num_rows, width), np.int8)
        done = 0
        for chunk in table["embedding"].chunks:
            values = np.frombuffer(chunk.buffers()[1], np.int8)
            vectors[done : done + len(chunk)] = values[
                chunk.offset * width : (chunk.offset + len(chunk)) * width
            ].reshape(-1, width)
            done += len(chunk)
        rest = table.select(names).take(order)
        if not rest.num_rows:
            return cls(np.empty(0, object), np.zeros(1, np.int64), vectors, rest)
        runs = pc.run_end_encode(rest["account_id"].combine_chunks())
        bounds = np.concatenate([[0], np.asarray(runs.run_ends, np.int64)])
        return cls(np.array(runs.values.to_pylist(), object), bounds, vectors[order.to_numpy()], rest)

    def take(self, accounts: NDArray[np.int64], most: int | None = None) -> Accounts:
        """Some accounts, of each at most the first ``most`` records."""
        sizes = self.records[accounts]
        if most is not None:
            sizes = np.minimum(sizes, most)
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        rows = np.arange(bounds[-1]) + np.repeat(self.bounds[accounts] - bounds[:-1], sizes)
        return Accounts(
            self.account_id[accounts], bounds, self.vectors[rows], self.table.take(pa.array(rows))
        )

    def first(self, most: int) -> Accounts:
        """Accounts with at least ``most`` records, by their first ``most``."""
        return self.take(np.flatnonzero(self.records >= most), most)

    def vectors_of(self, account: int) -> NDArray[np.int8]:
        """Embeddings of one account, int8[m, d]."""
        return self.vectors[self.bounds[account] : self.bounds[account + 1]]

    def owner(self) -> NDArray[np.int64]:
        """The account of each row, int64[rows]."""
        return np.repeat(np.arange(len(self)), self.records)

    def pool(self, size: int, seed: int) -> NDArray[np.int8]:
        """A sample of records, at most 50 of an account so that nobody fills it: int8[m, d].

        Nothing says which accounts are benign, so a few attackers' records are in it.
        """
        rng = np.random.default_rng([seed, 0x9001])
        place = np.arange(len(self.vectors)) - np.repeat(self.bounds[:-1], self.records)
        rows = np.flatnonzero(place < 50)
        chosen: NDArray[np.int8] = self.vectors[np.sort(rng.permutation(rows)[:size])]
        return chosen

    def unit_blocks(self, rows: int = ROWS) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Unit vectors float32[m, d], block after block, with the rows they belong to."""
        for start in range(0, len(self.vectors), rows):
            cut = slice(start, min(start + rows, len(self.vectors)))
            yield cut, unit(self.vectors[cut])

    def blocks(self, rows: int = 65_536) -> Iterator[pa.Table]:
        """Records with their embeddings, in blocks of whole accounts of at least so many rows."""
        low = 0
        for high in self.bounds[1:].tolist():
            if high - low < rows and high < len(self.vectors):
                continue
            block = np.ascontiguousarray(self.vectors[low:high])
            kind = pa.binary(block.shape[1])
            column = pa.Array.from_buffers(kind, len(block), [None, pa.py_buffer(block)])
            if high > low:
                yield self.table.slice(low, high - low).append_column("embedding", column)
            low = high

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over each account of one number per row; NaN rows are left out, NaN where none is left."""
        known = ~np.isnan(values)
        owner = self.owner()[known]
        count = np.bincount(owner, minlength=len(self))
        total = np.bincount(owner, values[known], len(self))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as float64[rows], NaN for null."""
        values = self.table[column]
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)

    def codes(self, column: str) -> NDArray[np.int64]:
        """A column's values as numbers from 0, -1 for null."""
        column_codes = self.table[column].combine_chunks().dictionary_encode()
        return np.asarray(column_codes.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)

    def signals(self) -> SignalTable:
        """The product's own signals of every account, computed once."""
        if self._signals is None:
            self._signals = signals_of(self)[0]
        return self._signals


def unit(vectors: NDArray[np.int8]) -> NDArray[np.float32]:
    """Rows of length 1, float32."""
    out = vectors.astype(np.float32)
    out /= np.sqrt(np.einsum("ij,ij->i", out, out))[:, None]
    return out


def signals_of(accounts: Accounts, population: Population | None = None) -> tuple[SignalTable, Population]:
    """Signals of every account, compared with a population; default: with all of them together, which is returned."""
    from pipeline.account_signals import account_signals, hourly_activity
    from pipeline.engine import Engine
    from pipeline.parameters import Parameters
    from pipeline.profiles import Profiles
    from pipeline.signals import Population as Everybody
    from pipeline.spaces import EmbeddingSpace

    dimension = accounts.vectors.shape[1]
    parameters = Parameters.default()
    if dimension != parameters.space.dimension:
        parameters = Parameters.generate(EmbeddingSpace(dimension=dimension))
    engine = Engine(parameters, window_seconds=_WINDOW_SECONDS)
    parts = [engine.profiles(block) for block in accounts.blocks()]
    profiles = Profiles.merge(Profiles.empty(parameters), *parts).by_account()
    population = population or Everybody.of(profiles)
    # Profiles are in order of the ids' UTF-8 bytes; so are we, but nothing should rest on it.
    row = {account: i for i, account in enumerate(profiles.account_id)}
    order = np.array([row[account] for account in accounts.account_id], np.int64)
    times = accounts.table["event_time"].cast(pa.int64()).to_numpy()
    activity = hourly_activity(order[accounts.owner()], times, None, len(profiles))
    table = account_signals(
        profiles, activity, accounts.blocks(), parameters, engine.backend, population=population
    )
    columns = {name: values[order] for name, values in table.columns.items()}
    return type(table)(table.account_id[order], table.records[order], columns), population
