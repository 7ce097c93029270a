"""Records in, profiles out: a pure function. No file, no clock, no broker, no memory of earlier calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.backend import Backend, Sums, get_backend
from pipeline.errors import OutOfBounds, UsageError
from pipeline.kernels.distinct import bottom_k
from pipeline.kernels.histograms import count_cells
from pipeline.measures import ENGINE_COLUMNS, HEAVY_COLUMNS, HeavyMeasures, Measures
from pipeline.profiles.keys import Grouping, account_ranks, group_rows
from pipeline.profiles.schema import (
    CELL_OFFSETS,
    CELLS,
    DISTINCT_FIELDS,
    EMBEDDING_NORM2,
    FEATURES,
    LIGHT_FIELDS,
    MOMENT_CELLS,
    RECORDS,
    SKETCH,
)
from pipeline.profiles.table import Profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from pipeline.parameters import Parameters

DEFAULT_WINDOW_SECONDS = 3600
DEFAULT_BLOCK_RECORDS = 8192

__all__ = ["DEFAULT_BLOCK_RECORDS", "DEFAULT_WINDOW_SECONDS", "ENGINE_COLUMNS", "HEAVY_COLUMNS", "Engine"]


class Engine:
    """Computes the profiles of records by account and event-time window.

    The result depends on nothing but the set of records: not on their order, on how they are split over calls whose
    results are merged, or on the backend.

    Parameters
    ----------
    parameters
        The constants of the embedding space.
    backend
        ``None`` takes numpy.
    window_seconds
        Length of a window; windows are aligned to 1970-01-01 UTC.
    """

    def __init__(
        self,
        parameters: Parameters,
        backend: Backend | None = None,
        window_seconds: int = DEFAULT_WINDOW_SECONDS,
    ) -> None:
        if window_seconds <= 0:
            msg = f"window_seconds is {window_seconds}; a window has at least one second"
            raise UsageError(msg)
        self.parameters = parameters
        self.backend = backend or get_backend("numpy")
        self.window_seconds = window_seconds

    def profiles(self, records: pa.Table, *, heavy_from: int = 0) -> Profiles:
        """Profiles of all records of a table.

        Parameters
        ----------
        records
            `ENGINE_COLUMNS` of `pipeline.records.schema.record_schema`; any order and size, but the profiles of all
            its accounts and windows are in memory at once (about 20 kB each). `profile_blocks` bounds that.
        heavy_from
            Leave the heavy part out of profiles with fewer records; see `Profiles.heavy_from`. For landing, where
            those are thrown away anyway: thin accounts then cost half.

        Raises
        ------
        UsageError
            A column is missing, of another type or has nulls where none may be.
        OutOfBounds
            A vector is longer than the grid allows, or a sum could leave int64.
        """
        measures = Measures(records)
        if measures.rows == 0:
            return Profiles.empty(self.parameters)
        window = self.window_seconds * 1_000_000
        grouping = group_rows(measures.accounts, measures.event_time // window * window)
        n, groups = measures.rows, len(grouping.starts)
        sizes = np.diff(grouping.starts, append=n)
        vectors = measures.embeddings(self.parameters.space.dimension)
        thick = sizes >= heavy_from
        sums = self._all_sums(vectors, grouping) if thick.all() else self._some_sums(vectors, grouping, thick)
        self._check_norms(sums.norm2, grouping)
        # From here on everything is in the order of groups.
        order, group = grouping.order, np.repeat(np.arange(groups), sizes)
        cells = [cell[order] for cell in measures.cells]
        cells.append(sums.topic + CELL_OFFSETS["topic_count"])
        measures.light[EMBEDDING_NORM2, order] = sums.norm2
        return Profiles(
            parameters=self.parameters,
            account_id=grouping.account_id,
            window_start=grouping.window_start,
            light=self._light(measures.light[:, order], grouping),
            cells=count_cells(group, cells, groups, CELLS, xp=np),
            embedding_sum=sums.embedding_sum,
            moment=sums.moment,
            kernel_mean=sums.kernel_mean,
            hashes=_sketches(measures.hashes, grouping, thick),
            heavy_from=heavy_from,
        )

    def heavy_parts(self, records: pa.Table) -> Profiles:
        """Heavy parts of all records of each account, for whoever knows their light parts already.

        Parameters
        ----------
        records
            `HEAVY_COLUMNS`, any order.

        Returns
        -------
        Profiles
            One per account, of which light fields but ``records``, cells and ``window_start`` say nothing.

        Raises
        ------
        OutOfBounds
            A vector is longer than the grid allows.
        """
        measures = HeavyMeasures(records)
        if measures.rows == 0:
            return Profiles.empty(self.parameters)
        grouping = group_rows(measures.accounts, np.zeros(measures.rows, np.int64))
        groups = len(grouping.starts)
        vectors = measures.embeddings(self.parameters.space.dimension)
        sums = self._all_sums(vectors, grouping, topics=False)
        self._check_norms(sums.norm2, grouping)
        light = np.zeros((groups, len(LIGHT_FIELDS)), np.int64)
        light[:, RECORDS] = np.diff(grouping.starts, append=measures.rows)
        return Profiles(
            parameters=self.parameters,
            account_id=grouping.account_id,
            window_start=grouping.window_start,
            light=light,
            cells=np.broadcast_to(np.int64(0), (groups, CELLS)),
            embedding_sum=sums.embedding_sum,
            moment=sums.moment,
            kernel_mean=sums.kernel_mean,
            hashes=_sketches(measures.hashes, grouping, np.ones(groups, bool)),
        )

    def profile_blocks(
        self, records: pa.Table, block_records: int = DEFAULT_BLOCK_RECORDS, *, heavy_from: int = 0
    ) -> Iterator[Profiles]:
        """Profiles of a table sorted by account, in key-ordered disjoint blocks.

        An account is never split: a block has whole accounts of about ``block_records`` records together, or one
        account that has more. Memory is bounded by that and by the windows of one account.

        Parameters
        ----------
        records
            As for `profiles`, sorted by the UTF-8 bytes of ``account_id``.
        block_records
            Records of a block.
        heavy_from
            As for `profiles`.

        Raises
        ------
        UsageError
            The table is not sorted by account.
        """
        n = records.num_rows
        if n == 0:
            return
        ranks, names = account_ranks(records.column("account_id"))
        falls = np.flatnonzero(ranks[1:] < ranks[:-1])
        if len(falls):
            row = int(falls[0])
            msg = (
                f"account {names[ranks[row + 1]]!r} comes after {names[ranks[row]]!r} in row {row + 1}; "
                "sort the records by account_id first"
            )
            raise UsageError(msg)
        ends = np.append(np.flatnonzero(ranks[1:] != ranks[:-1]) + 1, n)
        low = 0
        while low < n:
            # The last end within reach, or else the first one after it.
            reach = int(np.searchsorted(ends, low + block_records, side="right")) - 1
            high = int(ends[reach]) if reach >= 0 and ends[reach] > low else int(ends[reach + 1])
            yield self.profiles(records.slice(low, high - low), heavy_from=heavy_from)
            low = high

    def _all_sums(self, vectors: npt.NDArray[np.int8], grouping: Grouping, *, topics: bool = True) -> Sums:
        """Topics (or not) and norms in the order of groups, and heavy sums of all groups."""
        sums = self._room(len(grouping.order), len(grouping.starts))
        fill = self.backend.sums if topics else self.backend.heavy_sums
        self._accumulate(vectors, grouping.order, grouping.starts, sums, fill)
        return sums

    def _some_sums(
        self, vectors: npt.NDArray[np.int8], grouping: Grouping, thick: npt.NDArray[np.bool_]
    ) -> Sums:
        """The same with heavy sums of the thick groups only; those of the others are zero."""
        n, groups = len(grouping.order), len(grouping.starts)
        sizes = np.diff(grouping.starts, append=n)
        in_thick = np.repeat(thick, sizes)
        # Pages of zeros that nobody writes to are never touched.
        sums = Sums(
            topic=np.empty(n, dtype=np.int64),
            norm2=np.empty(n, dtype=np.int64),
            embedding_sum=np.zeros((groups, self.parameters.space.dimension), dtype=np.int64),
            moment=np.zeros((groups, MOMENT_CELLS), dtype=np.int64),
            kernel_mean=np.zeros((groups, FEATURES), dtype=np.int64),
        )
        part = self._room(int(in_thick.sum()), int(thick.sum()))
        starts = np.cumsum(sizes[thick]) - sizes[thick]
        self._accumulate(vectors, grouping.order[in_thick], starts, part, self.backend.sums)
        sums.topic[in_thick], sums.norm2[in_thick] = part.topic, part.norm2
        for name in ("embedding_sum", "moment", "kernel_mean"):
            getattr(sums, name)[thick] = getattr(part, name)
        thin = grouping.order[~in_thick]
        topic, norm2 = np.empty(len(thin), dtype=np.int64), np.empty(len(thin), dtype=np.int64)
        step = self.backend.block_records
        for low in range(0, len(thin), step):
            rows = slice(low, low + step)
            self.backend.topics(vectors[thin[rows]], self.parameters, topic[rows], norm2[rows])
        sums.topic[~in_thick], sums.norm2[~in_thick] = topic, norm2
        return sums

    def _room(self, n: int, groups: int) -> Sums:
        """Arrays for the sums of n records in some groups, not initialised."""
        return Sums(
            topic=np.empty(n, dtype=np.int64),
            norm2=np.empty(n, dtype=np.int64),
            embedding_sum=np.empty((groups, self.parameters.space.dimension), dtype=np.int64),
            moment=np.empty((groups, MOMENT_CELLS), dtype=np.int64),
            kernel_mean=np.empty((groups, FEATURES), dtype=np.int64),
        )

    def _accumulate(
        self,
        vectors: npt.NDArray[np.int8],
        order: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        sums: Sums,
        fill: Callable[[npt.NDArray[np.int8], npt.NDArray[np.int64], Parameters, Sums], None],
    ) -> None:
        """Fill ``sums`` block by block with `Backend.sums` or `Backend.heavy_sums`; a group that spans blocks is carried over.

        ``order`` sorts the vectors by group, ``starts`` says where each group begins in that order.
        """
        n = len(order)
        in_order = bool((order == np.arange(n)).all())
        step = self.backend.block_records
        for low in range(0, n, step):
            high = min(n, low + step)
            first = int(np.searchsorted(starts, low, side="right")) - 1
            last = int(np.searchsorted(starts, high, side="left"))
            rows = slice(first, last)
            block = Sums(
                topic=sums.topic[low:high],
                norm2=sums.norm2[low:high],
                embedding_sum=sums.embedding_sum[rows],
                moment=sums.moment[rows],
                kernel_mean=sums.kernel_mean[rows],
            )
            spans = starts[first] < low
            carried = [part[0].copy() for part in _per_group(block)] if spans else []
            # Gathering a block at a time keeps the rows in cache for the product that follows.
            q = vectors[low:high] if in_order else vectors[order[low:high]]
            fill(q, np.maximum(starts[rows] - low, 0), self.parameters, block)
            for part, carry in zip(_per_group(block), carried, strict=False):
                part[0] += carry

    def _check_norms(self, norm2: npt.NDArray[np.int64], grouping: Grouping) -> None:
        """All exactness rests on the length of the vectors, so it is looked at for every record."""
        bound = self.parameters.norm2_bound
        if int(norm2.max()) <= bound:
            return
        row = int(norm2.argmax())
        group = int(np.searchsorted(grouping.starts, row, side="right")) - 1
        msg = (
            f"an embedding of account {grouping.account_id[group]!r} has squared norm {int(norm2[row])}; the grid of "
            f"{self.parameters.space} allows {bound}: it was not put on the grid (see pipeline.records)"
        )
        raise OutOfBounds(msg)

    def _light(self, light: npt.NDArray[np.int64], grouping: Grouping) -> npt.NDArray[np.int64]:
        """Sums of the light fields, int64[g, 11].

        Raises
        ------
        OutOfBounds
            Token counts are so large that a sum could leave int64.
        """
        n = light.shape[1]
        largest = max(abs(int(light.min())), abs(int(light.max())))
        if largest * n >= 2**63:
            msg = (
                f"a record counts {largest} tokens; {n} records like it do not add up in 64 bits: "
                "reject such counts when decoding"
            )
            raise OutOfBounds(msg)
        return np.ascontiguousarray(np.add.reduceat(light, grouping.starts, axis=1).T)


def _per_group(sums: Sums) -> tuple[npt.NDArray[np.int64], ...]:
    return sums.embedding_sum, sums.moment, sums.kernel_mean


def _sketches(
    hashes_of: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]],
    grouping: Grouping,
    thick: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint64]:
    """Bottom-k sketches, uint64[g, 3, 64]; all padding for groups that are not thick."""
    group = grouping.group
    wanted = None if thick.all() else thick[group]
    out = np.empty((len(grouping.starts), len(DISTINCT_FIELDS), SKETCH), dtype=np.uint64)
    for number, (rows, hashes) in enumerate(hashes_of):
        chosen = rows if wanted is None else rows[wanted[rows]]
        values = hashes if wanted is None else hashes[wanted[rows]]
        out[:, number] = bottom_k(group[chosen], values, len(grouping.starts), xp=np)
    return out
