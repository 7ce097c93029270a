"""Signals that are read from records, for the accounts of a lake that are looked at in detail.

A lake of up to `DETAIL` scorable accounts has all of them read. In a larger one it is a sample, chosen by a hash of the
account ids, which is the population that these signals are ranked in, and the accounts that stand out by their profiles
alone. Whoever is not read has no value there: the answer of a detector then rests on the profile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.account_signals import detail_signals
from pipeline.detectors.base import MIN_RECORDS
from pipeline.lake.reader import read_profiles
from pipeline.lake_records import record_blocks
from pipeline.profiles import Profiles
from pipeline.signals import SignalTable
from pipeline.signals.every import DETAILS
from pipeline.signals.sequence import COLUMNS, NEWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from pipeline.engine import Engine
    from pipeline.lake import Snapshot
    from pipeline.lake_accounts import LakeAccounts
    from pipeline.parameters import Parameters

SAMPLED = 1000
"""Accounts of a large lake that the others are ranked among: about as many as a world of the fit has that can be judged."""

CANDIDATES = 2000
CANDIDATE_SHARE = 0.02
"""Accounts of a large lake that are read because their profiles stand out: this share of it, at most that many."""

MOST_EXACT = 2**24 // 128
"""Records up to which the float32 sums held of an account are exact; larger ones are read again."""

_PROFILES = 256
"""Accounts whose windows are added up at a time: some megabytes each in a long period."""


@dataclass(frozen=True, slots=True)
class Detailed:
    """All signals of all accounts.

    ``table`` has every column; ``detailed`` bool[n] says who was read in detail, ``sampled`` bool[n] who of them was
    chosen without regard to anything: distributions of `DETAILS` are made from these (`population`).
    """

    table: SignalTable
    detailed: NDArray[np.bool_]
    sampled: NDArray[np.bool_]

    @property
    def population(self) -> SignalTable:
        """The same for making a reference: what candidates alone were read for is left out, their profiles are not."""
        if np.array_equal(self.detailed, self.sampled):
            return self.table
        columns = {
            name: np.where(self.sampled, values, np.nan) if name in DETAILS else values
            for name, values in self.table.columns.items()
        }
        return SignalTable(self.table.account_id, self.table.records, columns)


def read_details(
    snapshot: Snapshot,
    engine: Engine,
    lake: LakeAccounts,
    table: SignalTable,
    start: datetime | None,
    stop: datetime | None,
    *,
    first_stage: Callable[[SignalTable], NDArray[np.float64]],
    vector: Mapping[str, int] | None = None,
    workers: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> Detailed:
    """Sequence and lake signals of the accounts that are to be read in detail.

    Parameters
    ----------
    snapshot, engine, start, stop, vector
        What ``lake`` was read from.
    table
        Its profile signals.
    first_stage
        Scores of accounts by these, float64[n], NaN for none; asked in large lakes alone.
    workers
        Processes that read records.
    """
    scorable = table.records >= MIN_RECORDS
    if lake.profiles is not None:
        detailed = sampled = scorable
        profiles = lake.profiles
    else:
        sampled = hash_sample(table.account_id, scorable, SAMPLED)
        detailed = sampled | candidates(first_stage(table))
        kept = detailed & (table.records <= MOST_EXACT) & (len(lake.ties) == len(table))
        names = table.account_id[detailed & ~kept].tolist()
        profiles = Profiles.merge(
            _held(lake, kept, engine.parameters), _summed(snapshot, engine, names, start, stop, vector)
        )
    accounts = int(detailed.sum())

    def told(done: int) -> None:
        if report is not None:
            report("accounts in detail", done, accounts)

    found = detail_signals(
        profiles,
        lake.activity.of(detailed),
        record_blocks(
            snapshot,
            profiles.account_id.tolist(),
            start,
            stop,
            COLUMNS,
            vector=vector,
            newest=NEWEST,
        ),
        engine.parameters,
        engine.backend,
        workers=workers,
        told=told,
    )
    columns = dict(table.columns)
    for name, values in found.items():
        columns[name] = np.full(len(table), np.nan)
        columns[name][detailed] = values
    return Detailed(SignalTable(table.account_id, table.records, columns), detailed, sampled)


def hash_sample(account_id: NDArray[np.object_], scorable: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """The scorable accounts with the smallest hashes, bool[n]: nobody chooses to be among them, and all runs agree.

    Examples
    --------
    >>> names = np.array(["a", "b", "c", "d"], object)
    >>> hash_sample(names, np.array([True, True, False, True]), 2).tolist()
    [True, True, False, False]
    """
    rows = np.flatnonzero(scorable)
    hashes = [hashlib.blake2b(account_id[row].encode(), digest_size=16).digest() for row in rows]
    out = np.zeros(len(account_id), bool)
    out[rows[sorted(range(len(rows)), key=hashes.__getitem__)[:size]]] = True
    return out


def candidates(score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The accounts with the highest scores, bool[n]; ties go to the earlier row."""
    known = np.flatnonzero(~np.isnan(score))
    size = min(CANDIDATES, int(np.ceil(len(known) * CANDIDATE_SHARE)))
    out = np.zeros(len(score), bool)
    out[known[np.argsort(-score[known], kind="stable")[:size]]] = True
    return out


def _held(lake: LakeAccounts, chosen: NDArray[np.bool_], parameters: Parameters) -> Profiles:
    """Profiles of accounts from what is held of them for clusters, without `moment` and `kernel_mean`.

    Lake signals ask for nothing else, and reading a few thousand accounts again is reading the whole lake again.
    """
    rows = np.flatnonzero(chosen)
    blank = Profiles.empty(parameters)
    if not len(rows):
        return blank
    ties, n = lake.ties, len(rows)
    return Profiles(
        parameters=parameters,
        account_id=ties.account_id[rows],
        window_start=lake.first[rows],
        light=ties.light[rows],
        cells=ties.cells[rows].astype(np.int64),
        embedding_sum=ties.embedding_sum[rows].astype(np.int64),
        moment=np.zeros((n, blank.moment.shape[1]), np.int64),
        kernel_mean=np.zeros((n, blank.kernel_mean.shape[1]), np.int64),
        hashes=ties.hashes[rows],
    )


def _summed(
    snapshot: Snapshot,
    engine: Engine,
    names: Sequence[str],
    start: datetime | None,
    stop: datetime | None,
    vector: Mapping[str, int] | None,
) -> Profiles:
    """One profile per account, some accounts at a time."""
    parts = [Profiles.empty(engine.parameters)]
    for low in range(0, len(names), _PROFILES):
        some = names[low : low + _PROFILES]
        parts.append(read_profiles(snapshot, engine, some, start, stop, vector=vector).by_account())
    return Profiles.merge(*parts)
