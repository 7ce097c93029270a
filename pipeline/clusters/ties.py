"""What scoring keeps of each account so that pairs of them can be compared: some 9 kB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline import readings
from pipeline.errors import UsageError
from pipeline.parameters import AMPLITUDE
from pipeline.profiles.accounts import MODELS, NEVER, AccountWindows
from pipeline.profiles.schema import ASKABLE_FIELDS, CELL_OFFSETS, CELLS, FEATURES, LIGHT_FIELDS, SKETCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.profiles import Profiles

HOUR_US = 3_600_000_000
MOST_BINS = 512
"""Bins of activity; a longer period has bins of several hours."""

_MODELS = ASKABLE_FIELDS[MODELS]


@dataclass(frozen=True)
class AccountTies:
    """Accounts in order of their ids' bytes.

    Parameters
    ----------
    account_id
        object[n] of str, sorted, unique.
    records
        int64[n].
    embedding_sum
        float32[n, d], exact up to 132,000 records.
    coherence
        float64[n], mean pairwise cosine; NaN below two records.
    kernel
        float32[n, 256], mean random features, scaled so that a dot product is a mean kernel.
    cells
        int32[n, 820], all askable fields side by side.
    light
        int64[n, 11].
    hashes
        uint64[n, 3, 64], sketches.
    activity
        int64[m, 3]: row, hour since 1970, records; every window of every account.
    model_first
        int64[n, 64], first hour in which each bucket of models was used; `NEVER` for none.
    """

    account_id: NDArray[np.object_]
    records: NDArray[np.int64]
    embedding_sum: NDArray[np.float32]
    coherence: NDArray[np.float64]
    kernel: NDArray[np.float32]
    cells: NDArray[np.int32]
    light: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    activity: NDArray[np.int64]
    model_first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.account_id)

    @classmethod
    def of(cls, windows: Profiles) -> AccountTies:
        """Of profiles by account and window, or by account (then every account has one hour).

        Raises
        ------
        UsageError
            A sum over an account's cells does not fit 32 bits.
        """
        return cls.of_accounts(AccountWindows.of(windows))

    @classmethod
    def of_accounts(cls, windows: AccountWindows) -> AccountTies:
        """Of accounts and their windows; as `of`."""
        accounts = windows.accounts
        if len(accounts) and int(accounts.cells.max()) >= 2**31:
            msg = (
                f"an account has {int(accounts.cells.max())} records in one cell; score a shorter time range"
            )
            raise UsageError(msg)
        count = np.maximum(accounts.records, 1).astype(np.float64)[:, None]
        first = windows.model_first
        return cls(
            accounts.account_id,
            accounts.records.copy(),
            accounts.embedding_sum.astype(np.float32),
            readings.mean_pairwise_cosine(accounts),
            (accounts.kernel_mean / (count * AMPLITUDE) * np.sqrt(2.0 / FEATURES)).astype(np.float32),
            accounts.cells.astype(np.int32),
            accounts.light.copy(),
            accounts.hashes.copy(),
            np.stack([windows.row, windows.start // HOUR_US, windows.records], axis=1),
            np.where(first == NEVER, NEVER, first // HOUR_US),
        )

    @classmethod
    def joined(cls, parts: Sequence[AccountTies], dimension: int) -> AccountTies:
        """Several of different accounts, sorted by account."""
        if not parts:
            return cls(
                np.empty(0, object),
                np.empty(0, np.int64),
                np.empty((0, dimension), np.float32),
                np.empty(0),
                np.empty((0, FEATURES), np.float32),
                np.empty((0, CELLS), np.int32),
                np.empty((0, len(LIGHT_FIELDS)), np.int64),
                np.empty((0, 3, SKETCH), np.uint64),
                np.empty((0, 3), np.int64),
                np.empty((0, _MODELS), np.int64),
            )
        offset = np.cumsum([0, *(len(part) for part in parts)])
        moved = [part.activity + np.array([start, 0, 0]) for part, start in zip(parts, offset, strict=False)]
        names = [
            name for name in cls.__dataclass_fields__ if name != "activity"
        ]  # arrays with a row per account
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        found = cls(**whole, activity=np.concatenate(moved))
        keys = [str(name).encode() for name in found.account_id]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return found if order == list(range(len(keys))) else found.take(np.array(order, np.int64))

    def take(self, rows: NDArray[np.int64]) -> AccountTies:
        """Some accounts in the order given."""
        place = np.full(len(self), -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = self.activity[place[self.activity[:, 0]] >= 0].copy()
        kept[:, 0] = place[kept[:, 0]]
        whole = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__ if name != "activity"}
        return AccountTies(**whole, activity=kept)

    def field(self, name: str) -> NDArray[np.int32]:
        """An askable field, int32[n, size] (a view)."""
        return self.cells[:, CELL_OFFSETS[name] : CELL_OFFSETS[name] + ASKABLE_FIELDS[name]]

    def counter(self, name: str) -> NDArray[np.int64]:
        """A light field, int64[n]."""
        return self.light[:, LIGHT_FIELDS.index(name)]

    @cached_property
    def span(self) -> tuple[int, int]:
        """First hour of the period and one past its last."""
        if len(self.activity) == 0:
            return 0, 1
        return int(self.activity[:, 1].min()), int(self.activity[:, 1].max()) + 1

    @cached_property
    def hourly(self) -> NDArray[np.float32]:
        """Records per bin of the period, float32[n, at most `MOST_BINS`]; a bin is an hour or several."""
        start, stop = self.span
        width = -(-(stop - start) // MOST_BINS)
        out = np.zeros((len(self), -(-(stop - start) // width)), np.float32)
        np.add.at(out, (self.activity[:, 0], (self.activity[:, 1] - start) // width), self.activity[:, 2])
        return out
