"""Whole accounts: the sum of each one's windows, and of the windows themselves when they were and how large.

That is all that scoring asks of a lake's windows. It is added up from the landed tables without a profile per window in
between: those are some 20 kB each, and making them only to add them up costs more than reading what was landed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import LakeError
from pipeline.kernels.distinct import bottom_k
from pipeline.profiles.arrow import integers, matrix, sketch_values, sparse_cells, strings, times
from pipeline.profiles.keys import account_ranks, string_array
from pipeline.profiles.merge import guard
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
from pipeline.profiles.sums import sums_by
from pipeline.profiles.table import Profiles

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.parameters import Parameters

    Integers = npt.NDArray[np.int64]

MODELS = "model_hashed_count"
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class AccountWindows:
    """Accounts in order of their ids' bytes, each with all its windows.

    Parameters
    ----------
    accounts
        n profiles, one per account; ``window_start`` is the earliest.
    row, start, records
        int64[m] each, a window each, by account and time: row of its account, microseconds since 1970, records.
    model_first
        int64[n, 64], start of the first window in which each bucket of models was used; `NEVER` for none.
    """

    accounts: Profiles
    row: Integers
    start: Integers
    records: Integers
    model_first: Integers

    def __len__(self) -> int:
        return len(self.accounts)

    @property
    def last(self) -> Integers:
        """Start of each account's newest window, int64[n]."""
        return self.start[np.searchsorted(self.row, np.arange(len(self)), side="right") - 1]

    @classmethod
    def of(cls, windows: Profiles) -> AccountWindows:
        """Of profiles by account and window."""
        accounts = windows.by_account()
        change = np.zeros(len(windows), np.int64)
        change[1:] = windows.account_id[1:] != windows.account_id[:-1]
        row = np.cumsum(change)
        used, bucket = np.nonzero(windows.askable[MODELS])
        first = _first_uses(row[used], bucket, windows.window_start[used], len(accounts))
        return cls(accounts, row, windows.window_start.copy(), windows.records.copy(), first)

    @classmethod
    def summed(
        cls, parameters: Parameters, windows: pa.Table, heavy: pa.Table, thin: Profiles, loose: Profiles
    ) -> AccountWindows:
        """Of what was landed: the same as of the profiles by account and window that it gives.

        Parameters
        ----------
        windows
            `WINDOWS_SCHEMA`, any order; keys may repeat.
        heavy
            `PROFILES_SCHEMA`, any order: of the windows with `HEAVY_MIN_RECORDS` or more.
        thin
            By account, the heavy parts of the other windows; `Engine.heavy_parts`.
        loose
            Profiles of records that ``windows`` does not count.

        Raises
        ------
        LakeError
            Heavy parts and windows are not of the same records.
        OutOfBounds
            A sum could leave int64.
        """
        ids = [
            *strings(windows.column("account_id")),
            *strings(heavy.column("account_id")),
            string_array(thin.account_id),
            string_array(loose.account_id),
        ]
        ranks, names = account_ranks(pa.chunked_array(ids))
        n = len(names)
        if n == 0:
            return cls.of(loose)
        of_windows, of_heavy, of_thin, of_loose = np.split(
            ranks, np.cumsum([len(windows), len(heavy), len(thin)])
        )
        light = np.stack([integers(windows, name) for name in LIGHT_FIELDS], axis=1)
        start = times(windows)
        _require_together(
            np.stack([of_windows, start, light[:, RECORDS]]),
            np.stack([of_heavy, times(heavy), integers(heavy, "records")]),
            np.stack([of_thin, thin.records]),
            names,
        )
        row, cell, count = sparse_cells(windows)
        cells = np.zeros((n, CELLS), np.int64)
        np.add.at(cells.reshape(-1), of_windows[row] * CELLS + cell, count)
        model = cell - CELL_OFFSETS[MODELS]
        used = (model >= 0) & (model < ASKABLE_FIELDS[MODELS])
        rows, model, used_at = of_windows[row[used]], model[used], start[row[used]]
        if len(loose):
            cells += sums_by(of_loose, loose.cells, n)
            at, bucket = np.nonzero(loose.askable[MODELS])
            rows, model = np.concatenate([rows, of_loose[at]]), np.concatenate([model, bucket])
            used_at = np.concatenate([used_at, loose.window_start[at]])
        owner = np.concatenate([of_windows, of_loose])
        light = np.concatenate([light, loose.light])
        order = np.argsort(owner, kind="stable")
        guard(light, order, np.searchsorted(owner[order], np.arange(n)), names, parameters)
        row, start, records = _windows(owner, np.concatenate([start, loose.window_start]), light[:, RECORDS])

        def total(name: str, width: int) -> Integers:
            out = sums_by(of_heavy, matrix(heavy, name, width), n)
            for part, of_part in ((thin, of_thin), (loose, of_loose)):
                if len(part):
                    out += sums_by(of_part, getattr(part, name), n)
            return out

        accounts = Profiles(
            parameters=parameters,
            account_id=names,
            window_start=start[np.searchsorted(row, np.arange(n))],
            light=sums_by(owner, light, n),
            cells=cells,
            embedding_sum=total("embedding_sum", parameters.space.dimension),
            moment=total("moment", MOMENT_CELLS),
            kernel_mean=total("kernel_mean", FEATURES),
            hashes=_hashes(heavy, of_heavy, [(thin, of_thin), (loose, of_loose)], n),
        )
        return cls(accounts, row, start, records, _first_uses(rows, model, used_at, n))


def _require_together(
    windows: Integers, heavy: Integers, thin: Integers, names: npt.NDArray[np.object_]
) -> None:
    """Account, start and records of windows and of heavy parts, account and records of thin ones: int64[3 or 2, m].

    Raises
    ------
    LakeError
        A window has no heavy part, or a heavy part no window.
    """
    thick = windows[2] >= HEAVY_MIN_RECORDS
    mine, theirs = windows[:, thick], heavy
    if mine.shape == theirs.shape:
        same = (mine[:, np.lexsort(mine)] == theirs[:, np.lexsort(theirs)]).all()
    else:
        same = False
    counts = [
        np.bincount(rows, weights=records, minlength=len(names))
        for rows, records in ((windows[0, ~thick], windows[2, ~thick]), (thin[0], thin[1]))
    ]
    if not same or not np.array_equal(counts[0], counts[1]):
        msg = (
            f"windows of accounts {names[0]!r} to {names[-1]!r} count {int(windows[2].sum())} records, and their heavy "
            f"parts {int(heavy[2].sum() + thin[1].sum())}, or others: files of the lake do not belong together"
        )
        raise LakeError(msg)


def _windows(owner: Integers, start: Integers, records: Integers) -> tuple[Integers, Integers, Integers]:
    """The different windows by account and time, and their records, int64[m] each."""
    order = np.lexsort((start, owner))
    owner, start, records = owner[order], start[order], records[order]
    fresh = np.ones(len(owner), bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (start[1:] != start[:-1])
    first = np.flatnonzero(fresh)
    return owner[first], start[first], np.add.reduceat(records, first)


def _first_uses(rows: Integers, models: Integers, start: Integers, n: int) -> Integers:
    """The earliest start of each account's use of each bucket of models, int64[n, 64]."""
    first = np.full((n, ASKABLE_FIELDS[MODELS]), NEVER, np.int64)
    np.minimum.at(first, (rows, models), start)
    return first


def _hashes(
    heavy: pa.Table, of_heavy: Integers, others: list[tuple[Profiles, Integers]], n: int
) -> npt.NDArray[np.uint64]:
    """Sketches of accounts, uint64[n, 3, 64]: the smallest of all that their parts have."""
    out = np.empty((n, len(DISTINCT_FIELDS), SKETCH), np.uint64)
    for number, name in enumerate(DISTINCT_FIELDS):
        row, values = sketch_values(heavy.column(name))
        owners = [of_heavy[row], *(np.repeat(rows, SKETCH) for _, rows in others)]
        hashes = [values, *(part.hashes[:, number].ravel() for part, _ in others)]
        out[:, number] = bottom_k(np.concatenate(owners), np.concatenate(hashes), n, xp=np)
    return out
