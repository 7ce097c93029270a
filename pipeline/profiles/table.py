"""A columnar set of profiles with unique, sorted (account, window) keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.profiles import arrow, merge
from pipeline.profiles.digest import Digester
from pipeline.profiles.keys import group_rows, string_array
from pipeline.profiles.schema import (
    ASKABLE_FIELDS,
    CELL_OFFSETS,
    CELLS,
    DISTINCT_FIELDS,
    FEATURES,
    HEAVY_MIN_RECORDS,
    LIGHT_FIELDS,
    MOMENT_CELLS,
    RECORDS,
    SKETCH,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import pyarrow as pa

    from pipeline.parameters import Parameters

_ARRAYS = ("light", "cells", "embedding_sum", "moment", "kernel_mean", "hashes")


@dataclass(frozen=True, eq=False, slots=True)
class Profiles:
    """Profiles of accounts in windows, one row each, all integers.

    Keys are unique and sorted by (UTF-8 bytes of the account, window start). The arrays are not to be written to:
    rows of one set may share memory with another.

    Parameters
    ----------
    parameters
        The constants they were made with.
    account_id
        object[n] of str.
    window_start
        int64[n], microseconds since 1970, UTC.
    light
        int64[n, 11], columns `LIGHT_FIELDS`.
    cells
        int64[n, 820], all askable fields side by side; see `askable`.
    embedding_sum
        int64[n, d].
    moment
        int64[n, 528], lower triangle of ``sum y y'`` row by row.
    kernel_mean
        int64[n, 256].
    hashes
        uint64[n, 3, 64], the smallest distinct hashes, ascending, padded with 2**64 - 1; see `distinct`.
    heavy_from
        Rows with fewer records have no heavy part (its arrays hold nothing there). 0: all have one, the normal case;
        else the profiles are good for landing and for light readings, and everything else refuses them.
    """

    parameters: Parameters
    account_id: npt.NDArray[np.object_]
    window_start: npt.NDArray[np.int64]
    light: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    embedding_sum: npt.NDArray[np.int64]
    moment: npt.NDArray[np.int64]
    kernel_mean: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    heavy_from: int = 0

    def require_whole(self) -> None:
        """Refuse profiles that lack heavy parts.

        Raises
        ------
        UsageError
            A row has fewer than ``heavy_from`` records.
        """
        if self.heavy_from and len(self) and int(self.records.min()) < self.heavy_from:
            msg = (
                f"the heavy part of profiles with fewer than {self.heavy_from} records was left out to land them; "
                "compute them again with heavy_from=0"
            )
            raise UsageError(msg)

    @classmethod
    def empty(cls, parameters: Parameters) -> Profiles:
        """No profiles: the identity of `merge`."""
        return cls(
            parameters=parameters,
            account_id=np.empty(0, dtype=object),
            window_start=np.empty(0, dtype=np.int64),
            light=np.empty((0, len(LIGHT_FIELDS)), dtype=np.int64),
            cells=np.empty((0, CELLS), dtype=np.int64),
            embedding_sum=np.empty((0, parameters.space.dimension), dtype=np.int64),
            moment=np.empty((0, MOMENT_CELLS), dtype=np.int64),
            kernel_mean=np.empty((0, FEATURES), dtype=np.int64),
            hashes=np.empty((0, len(DISTINCT_FIELDS), SKETCH), dtype=np.uint64),
        )

    def __len__(self) -> int:
        return len(self.account_id)

    def __repr__(self) -> str:
        return f"Profiles({len(self)} of {self.parameters.space}, {int(self.records.sum())} records)"

    @property
    def records(self) -> npt.NDArray[np.int64]:
        """Records of each profile, int64[n]."""
        return self.light[:, RECORDS]

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """A light field by name, int64[n]."""
        return self.light[:, LIGHT_FIELDS.index(name)]

    @property
    def askable(self) -> dict[str, npt.NDArray[np.int64]]:
        """The askable fields by name, int64[n, size] each (views)."""
        return {
            name: self.cells[:, CELL_OFFSETS[name] : CELL_OFFSETS[name] + size]
            for name, size in ASKABLE_FIELDS.items()
        }

    @property
    def distinct(self) -> dict[str, npt.NDArray[np.uint64]]:
        """The sketches by name, uint64[n, 64] each, ascending, padded with 2**64 - 1 (views)."""
        return {name: self.hashes[:, number] for number, name in enumerate(DISTINCT_FIELDS)}

    @staticmethod
    def merge(*parts: Profiles) -> Profiles:
        """Sum of profiles, associative and commutative; see `pipeline.profiles.merge.merge`."""
        return merge.merge(parts)

    @staticmethod
    def subtract(whole: Profiles, part: Profiles) -> Profiles:
        """What remains of ``whole`` without ``part``; see `pipeline.profiles.merge.subtract`."""
        return merge.subtract(whole, part)

    def by_account(self) -> Profiles:
        """One profile per account: the sum over its windows; ``window_start`` is the earliest."""
        if len(self) == 0:
            return self
        grouping = group_rows(string_array(self.account_id), np.zeros(len(self), dtype=np.int64))
        summed = merge.regroup(self, grouping)
        # Windows ascend within an account, so the first row of a group has the earliest.
        earliest = self.window_start[grouping.order[grouping.starts]]
        return summed.replace_keys(summed.account_id, earliest)

    def total(self, account_id: str = "") -> Profiles:
        """One profile, the sum of all: a cluster is scored like one account, under the name given."""
        if len(self) == 0:
            return self
        named = np.full(len(self), account_id, dtype=object)
        grouping = group_rows(string_array(named), np.zeros(len(self), dtype=np.int64))
        summed = merge.regroup(self, grouping)
        return summed.replace_keys(summed.account_id, self.window_start.min(keepdims=True))

    def replace_keys(
        self, account_id: npt.NDArray[np.object_], window_start: npt.NDArray[np.int64]
    ) -> Profiles:
        """The same sums under other keys, which must be unique and sorted."""
        return Profiles(
            parameters=self.parameters,
            account_id=account_id,
            window_start=window_start,
            heavy_from=self.heavy_from,
            **{name: getattr(self, name) for name in _ARRAYS},
        )

    def take(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Profiles:
        """Some of the rows: a slice, a mask bool[n], or ascending row numbers.

        Raises
        ------
        UsageError
            Row numbers do not ascend, so keys would not be sorted and unique.
        """
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.dtype != bool and len(rows) > 1 and not bool((rows[1:] > rows[:-1]).all()):
                msg = "row numbers to take must ascend, because profiles are sorted by key; sort them first"
                raise UsageError(msg)
            if len(rows) == 0:
                rows = slice(0)
        return Profiles(
            parameters=self.parameters,
            account_id=self.account_id[rows],
            window_start=self.window_start[rows],
            heavy_from=self.heavy_from,
            **{name: getattr(self, name)[rows] for name in _ARRAYS},
        )

    def of_accounts(self, accounts: Iterable[str]) -> Profiles:
        """The rows of the accounts named; unknown names are passed over."""
        wanted = set(accounts)
        return self.take(
            np.fromiter((name in wanted for name in self.account_id), dtype=bool, count=len(self))
        )

    def equals(self, other: Profiles, *, distinct: bool = True) -> bool:
        """Whether keys and every integer are the same; without the sketches if ``distinct`` is false."""
        names = _ARRAYS if distinct else merge.GROUP_FIELDS
        return (
            self.parameters == other.parameters
            and len(self) == len(other)
            and self.heavy_from == other.heavy_from
            and bool((self.account_id == other.account_id).all())
            and np.array_equal(self.window_start, other.window_start)
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)
        )

    def to_windows_table(self) -> pa.Table:
        """Light and askable parts, a row each; `pipeline.profiles.schema.WINDOWS_SCHEMA`."""
        return arrow.windows_table(self)

    def to_profiles_table(self, min_records: int = HEAVY_MIN_RECORDS) -> pa.Table:
        """Heavy parts of the rows with enough records; `pipeline.profiles.schema.PROFILES_SCHEMA`."""
        chosen = self.take(self.records >= min_records)
        chosen.require_whole()
        return arrow.profiles_table(chosen)

    @staticmethod
    def from_tables(
        parameters: Parameters, windows: pa.Table, profiles: pa.Table, *, incomplete: str = "error"
    ) -> Profiles:
        """Read landed tables back; see `pipeline.profiles.arrow.from_tables`."""
        return arrow.from_tables(parameters, windows, profiles, incomplete=incomplete)

    def digest(self) -> str:
        """BLAKE2b-256 over every integer in key order, in hex; see `Digester`."""
        digester = Digester()
        digester.update(self)
        return digester.hexdigest()

    def light_digest(self) -> str:
        """BLAKE2b-256 over keys and light fields as text lines, in hex; see `Digester`."""
        digester = Digester(light_only=True)
        digester.update(self)
        return digester.light_hexdigest()
