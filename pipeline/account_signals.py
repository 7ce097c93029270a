"""Every signal of many accounts, from their profiles and their records: the one way to compute them.

Scoring a lake, fitting a detector and evaluating it all come here. Profile signals need the profiles alone; sequence
and lake signals (`pipeline.signals.every.DETAILS`) need the accounts' records too, and are given to accounts with at
least `MIN_RECORDS` of them. Those accounts are also the lake that lake signals compare with: nobody else enters it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backend import get_backend
from pipeline.clusters.threads import in_threads
from pipeline.config import one_thread_per_product
from pipeline.detectors.base import MIN_RECORDS
from pipeline.errors import UsageError
from pipeline.signals import Context, Population, SignalTable, signal_table
from pipeline.signals.every import DETAILS, EVERY, LAKE, SEQUENCE
from pipeline.signals.lake import SAMPLE, LakeAccounts, sample_of
from pipeline.signals.sequence import COLUMNS
from pipeline.signals.sequence.base import spaced
from pipeline.signals.sequence.reading import account_reads
from pipeline.signals.table import reproducible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from pipeline.backend import Backend
    from pipeline.parameters import Parameters
    from pipeline.profiles import Profiles

    Numbers = NDArray[np.float64]
    Integers = NDArray[np.int64]

HOUR_US = 3_600_000_000

ACTIVITY_HOURS = 2016
"""At most so many hours of activity are compared, the newest twelve weeks: a year of a large lake would fill memory."""

_TASK_ROWS = 8192
"""Records of a block that one process works off at a time, about."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What is kept of some accounts' records: sequence signals float64[n, signals], a sample of records each."""

    account_id: list[str]
    values: Numbers
    samples: list[pa.Table]


def account_signals(
    profiles: Profiles,
    activity: Integers | None,
    records: pa.Table | Iterable[pa.Table],
    parameters: Parameters,
    backend: Backend,
    *,
    population: Population | None = None,
    workers: int = 1,
) -> SignalTable:
    """Every signal of every account, in the order of the profiles.

    Parameters
    ----------
    profiles
        n profiles, one per account (`Profiles.by_account`).
    activity
        int64[n, hours], records per hour of the period (`hourly_activity`); None: signals that read it have no value.
    records
        Their records, as one table or as blocks that share no account, in any order; needs
        `pipeline.signals.sequence.COLUMNS`. Of each account the newest 2,000 are read.
    parameters, backend
        Of the embedding space; finds topics.
    population
        What profile signals compare with; default: all these accounts.
    workers
        Processes that read records; the result does not depend on it.

    Raises
    ------
    UsageError
        A block lacks a column, holds an account without a profile, or one that was in a block before.
    """
    table = signal_table(profiles, Context(population or Population.of(profiles)))
    details = detail_signals(profiles, activity, records, parameters, backend, workers=workers)
    return SignalTable(table.account_id, table.records, {**table.columns, **details})


def detail_signals(
    profiles: Profiles,
    activity: Integers | None,
    records: pa.Table | Iterable[pa.Table],
    parameters: Parameters,
    backend: Backend,
    *,
    workers: int = 1,
    told: Callable[[int], None] | None = None,
) -> dict[str, Numbers]:
    """Sequence and lake signals alone, float64[n] each; see `account_signals`. ``told`` hears how many were read."""
    n = len(profiles)
    columns = {name: np.full(n, np.nan) for name in DETAILS}
    place = {account: row for row, account in enumerate(profiles.account_id)}
    deep = profiles.records >= MIN_RECORDS
    wanted = pa.array(profiles.account_id[deep].tolist(), pa.string())
    samples: dict[int, pa.Table] = {}
    blocks = [records] if isinstance(records, pa.Table) else records
    for found in _read(_known(blocks, place, wanted), parameters, backend, workers):
        rows = [place[account] for account in found.account_id]
        for row, sample in zip(rows, found.samples, strict=True):
            if row in samples:
                msg = f"the records of {profiles.account_id[row]} come in several blocks; hand whole accounts over"
                raise UsageError(msg)
            samples[row] = sample
        for number, name in enumerate(SEQUENCE):
            columns[name][rows] = reproducible(found.values[:, number])
        if told is not None:
            told(len(samples))
    if not samples:
        return columns
    rows = sorted(samples)
    mask = np.zeros(n, bool)
    mask[rows] = True
    lake = LakeAccounts(
        profiles.take(mask),
        sample_of([samples[row] for row in rows], parameters.space.dimension),
        None if activity is None else _period(activity[mask]),
    )
    for name, values in zip(LAKE, _lake_values(lake), strict=True):
        columns[name][mask] = reproducible(values)
    return columns


def _lake_values(lake: LakeAccounts) -> list[Numbers]:
    """Every lake signal; products and sorts of large arrays, which threads can do beside each other."""
    # What several ask for, before they ask: each of them would find it anew.
    in_threads(lambda name: getattr(lake, name), ["cells", "peers"])
    return in_threads(lambda signal: signal.values(lake), LAKE.values())


def filled(table: SignalTable) -> SignalTable:
    """With a column for every signal, NaN where the table has none."""
    nothing = np.full(len(table), np.nan)
    columns = {name: table.columns.get(name, nothing) for name in EVERY}
    return SignalTable(table.account_id, table.records, columns)


def hourly_activity(rows: Integers, times: Integers, counts: Integers | None, accounts: int) -> Integers:
    """Records per account and hour, int64[accounts, hours], from the first hour to the last, newest `ACTIVITY_HOURS`.

    Parameters
    ----------
    rows, times, counts
        int64[m]: account, microseconds since 1970, and how many records there were (None: one each).
    accounts
        How many there are.

    Examples
    --------
    >>> hourly_activity(np.array([0, 1, 0]), np.array([0, 3, 1]) * 3_600_000_000, np.array([2, 5, 1]), 2)
    array([[2, 1, 0, 0],
           [0, 0, 0, 5]])
    """
    if not len(rows):
        return np.zeros((accounts, 0), np.int64)
    hour = times // HOUR_US
    last = int(hour.max())
    first = max(int(hour.min()), last - ACTIVITY_HOURS + 1)
    out = np.zeros((accounts, last - first + 1), np.int64)
    late = hour >= first
    np.add.at(out, (rows[late], hour[late] - first), 1 if counts is None else counts[late])
    return out


def _period(activity: Integers) -> Integers:
    """From the first hour in which one of these accounts was active to the last: others' hours are not theirs."""
    busy = np.flatnonzero(activity.any(axis=0))
    if not len(busy):
        return activity[:, :0]
    first = max(int(busy[0]), int(busy[-1]) - ACTIVITY_HOURS + 1)
    return activity[:, first : int(busy[-1]) + 1]


def _known(blocks: Iterable[pa.Table], place: Mapping[str, int], wanted: pa.Array) -> Iterator[pa.Table]:
    """The rows of accounts with records enough.

    Raises
    ------
    UsageError
        An account has no profile.
    """
    for block in blocks:
        for account in pc.unique(block["account_id"]).to_pylist():
            if account not in place:
                msg = f"there are records of {account}, and no profile; hand over the profiles of the same records"
                raise UsageError(msg)
        kept = block.filter(pc.is_in(block["account_id"], wanted))
        if kept.num_rows:
            yield kept


def _read(
    blocks: Iterable[pa.Table], parameters: Parameters, backend: Backend, workers: int
) -> Iterator[_Read]:
    """Sequence signals and samples of every block, in order."""
    # A device is one: processes would only take turns on it.
    if workers <= 1 or backend.name != "numpy":
        for block in blocks:
            yield _read_block(block, parameters, backend)
        return
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing import get_context

    # Fresh processes: a forked one would inherit locks that threads of Arrow or of a matrix library hold.
    context = get_context("spawn")
    with one_thread_per_product(), ProcessPoolExecutor(workers, context, _start, (parameters,)) as pool:
        waiting: deque[Future[_Read]] = deque()
        for task in (task for block in blocks for task in _tasks(block)):
            waiting.append(pool.submit(_read_there, task))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _tasks(block: pa.Table) -> Iterator[pa.Table]:
    """The block in pieces of whole accounts."""
    if block.num_rows <= _TASK_ROWS:
        yield block
        return
    # What crosses to another process is what was asked for, not the whole buffers behind it.
    table = block.select(list(COLUMNS)).sort_by("account_id").combine_chunks()
    codes = np.asarray(table["account_id"].combine_chunks().dictionary_encode().indices)
    edges = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes))
    cuts = [0]
    for edge in edges[1:].tolist():
        if edge - cuts[-1] >= _TASK_ROWS or edge == len(codes):
            cuts.append(edge)
    for low, high in pairwise(cuts):
        yield table.slice(low, high - low)


_parameters: Parameters | None = None


def _start(parameters: Parameters) -> None:
    global _parameters  # noqa: PLW0603 -- what a process of the pool is told once
    _parameters = parameters


def _read_there(block: pa.Table) -> _Read:
    assert _parameters is not None
    return _read_block(block, _parameters, get_backend("numpy"))


def _read_block(block: pa.Table, parameters: Parameters, backend: Backend) -> _Read:
    names: list[str] = []
    values: list[list[float]] = []
    samples: list[pa.Table] = []
    for account, rows, sequence in account_reads(block, parameters, backend):
        names.append(account)
        values.append([signal.value(sequence) for signal in SEQUENCE.values()])
        samples.append(rows.take(pa.array(spaced(np.arange(rows.num_rows), SAMPLE))).select(_SAMPLED))
    return _Read(names, np.array(values, np.float64).reshape(len(names), len(SEQUENCE)), samples)


_SAMPLED = ["event_time", "embedding", "prompt_hash", "model"]
