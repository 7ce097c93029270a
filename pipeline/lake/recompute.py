"""Landed windows and profiles held against a recomputation from the landed records, field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.engine import ENGINE_COLUMNS
from pipeline.errors import LakeError
from pipeline.lake.profile_files import MIN_RECORDS
from pipeline.lake.rowgroups import ACCOUNT, AccountCursor, SortedFile, gone, plan_cuts, ranges
from pipeline.lake.selection import WindowKeys, WindowRange
from pipeline.profiles.schema import (
    ASKABLE_FIELDS,
    DISTINCT_FIELDS,
    FEATURES,
    LIGHT_FIELDS,
    PROFILES_SCHEMA,
    WINDOWS_SCHEMA,
)
from pipeline.records.schema import KIND_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake.snapshot import Snapshot, Source

MOST_DIFFERENCES = 1000
_RECORDS = 65_536
_HEAVY_FIELDS = ("records", "embedding_sum", "moment", "kernel_mean", *DISTINCT_FIELDS)
_KEY = (ACCOUNT, "window_start")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one landed row that does not follow from the records; ``None`` is "no row".

    Without an account it is one of a whole file.
    """

    account_id: str
    window_start: str
    field: str
    landed: str | None
    recomputed: str | None
    file: str

    @property
    def where(self) -> str:
        """Account, window and field, as messages say it."""
        row = f"{self.account_id}, window {self.window_start}" if self.account_id else "all rows"
        return f"{row}, {self.field}"


@dataclass(frozen=True, slots=True)
class Recomputed:
    """How many landed windows were recomputed, and what differed."""

    windows: int
    differences: tuple[Difference, ...]


def recompute(
    snapshot: Snapshot,
    engine: Engine,
    start: datetime | None = None,
    stop: datetime | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    most: int = MOST_DIFFERENCES,
    progress: Callable[[int, int], None] | None = None,
) -> Recomputed:
    """Recompute landed windows from records.

    Parameters
    ----------
    start, stop
        Windows with ``start <= window_start < stop``; naive times are UTC.
    sample
        How many (account, window) rows to recompute, spread over the files by their size; None: all. The number of
        records that all rows of a file count is compared as well.
    seed
        Which ones.
    most
        Stop after so many differences.
    progress
        Told how many landed rows are done, of how many; a range of time makes it reach the end early.

    Raises
    ------
    LakeError
        A file of the snapshot was swept meanwhile.
    """
    sources = snapshot.sources()
    window_range = WindowRange.of(start, stop, engine.window_seconds * 1_000_000)
    differences: list[Difference] = []
    windows = 0
    try:
        files = [SortedFile(source.windows) for source in sources]
        rows = [sum(group.rows for group in file.groups) for file in files]
        for number, (source, file) in enumerate(zip(sources, files, strict=True)):
            if sample is not None and start is None and stop is None:
                # Rows that were taken away or added are in no sample.
                differences += _sums(source)
            if sample is None:
                compared = _whole(source, file, engine, window_range)
            else:
                share = -(-sample * rows[number] // max(1, sum(rows)))
                compared = _sampled(
                    source, file, engine, share, np.random.default_rng([seed, number]), window_range
                )
            for count, found in compared:
                windows += count
                differences += found
                if progress is not None:
                    progress(windows, sum(rows) if sample is None else sample)
                if len(differences) >= most:
                    return Recomputed(windows, tuple(differences[:most]))
    except FileNotFoundError as error:
        raise gone(error) from error
    except (OSError, pa.ArrowException) as error:
        raise _damaged(sources, error) from error
    return Recomputed(windows, tuple(differences))


def _damaged(sources: Sequence[Source], error: Exception) -> LakeError:
    """What Arrow says of a damaged file, with the file, which it does not name."""
    for source in sources:
        for path in (source.windows, source.profiles, *source.records):
            try:
                if path is not None:
                    pq.read_table(path, partitioning=None)
            except (OSError, pa.ArrowException) as found:
                return LakeError(f"{path} cannot be read ({found}); restore it from a copy of the lake")
    return LakeError(f"a file of the lake could not be read ({error}); run it again")


def _whole(
    source: Source, windows: SortedFile, engine: Engine, window_range: WindowRange
) -> Iterator[tuple[int, list[Difference]]]:
    """Every row of a source, both ways: also windows that were not landed."""
    records = [SortedFile(path) for path in source.records]
    keep = window_range.keep
    record_cursors = [AccountCursor(file, list(ENGINE_COLUMNS), keep) for file in records]
    light = AccountCursor(windows, WINDOWS_SCHEMA.names, keep)
    heavy = (
        AccountCursor(SortedFile(source.profiles), PROFILES_SCHEMA.names, keep) if source.profiles else None
    )
    for low, high in ranges(plan_cuts(records, _RECORDS)):
        pieces = [piece for cursor in record_cursors for piece in cursor.take(low, high)]
        yield _compare(source, engine, light.take(low, high), heavy.take(low, high) if heavy else [], pieces)


def _sums(source: Source) -> list[Difference]:
    """Whether the landed rows count as many records as there are, and the heavy ones as many as they have to."""
    records = sum(_records_of(path) for path in source.records)
    counts = pq.read_table(source.windows, columns=["records"], partitioning=None)["records"]
    thick = _sum(counts.filter(pc.greater_equal(counts, MIN_RECORDS)))
    heavy = (
        _sum(pq.read_table(source.profiles, columns=["records"], partitioning=None)["records"])
        if source.profiles
        else 0
    )
    return [
        Difference("", "", "sum of records", str(landed), str(wanted), str(file))
        for file, landed, wanted in (
            (source.windows, _sum(counts), records),
            (source.profiles or source.windows, heavy, thick),
        )
        if landed != wanted
    ]


def _sum(counts: pa.ChunkedArray) -> int:
    return pc.sum(counts, min_count=0).as_py() or 0


def _records_of(path: Path) -> int:
    """Records of a segment or of a run's file; what was forgotten does not count."""
    kinds = pq.read_table(path, columns=["kind"], read_dictionary=["kind"], partitioning=None)["kind"]
    return sum(
        count["counts"] for count in kinds.value_counts().to_pylist() if count["values"] == KIND_RECORD
    )


def _sampled(
    source: Source,
    windows: SortedFile,
    engine: Engine,
    share: int,
    rng: np.random.Generator,
    window_range: WindowRange,
) -> Iterator[tuple[int, list[Difference]]]:
    """Some landed rows of a source."""
    groups = [group.index for group in windows.groups]
    keys = window_range.keep(windows.read(groups, _KEY))
    if not keys.num_rows or not share:
        return
    chosen = np.sort(rng.choice(keys.num_rows, size=min(share, keys.num_rows), replace=False))
    wanted = WindowKeys.of(keys.take(pa.array(chosen)), engine.window_seconds * 1_000_000)
    accounts = sorted(wanted.accounts.to_pylist())
    light = wanted.keep(windows.of_accounts(accounts, WINDOWS_SCHEMA.names))
    heavy = (
        [wanted.keep(SortedFile(source.profiles).of_accounts(accounts, PROFILES_SCHEMA.names))]
        if source.profiles
        else []
    )
    records = [
        wanted.keep(SortedFile(path).of_accounts(accounts, list(ENGINE_COLUMNS))) for path in source.records
    ]
    yield _compare(source, engine, [light], heavy, records)


def _compare(
    source: Source,
    engine: Engine,
    light: Sequence[pa.Table],
    heavy: Sequence[pa.Table],
    records: Sequence[pa.Table],
) -> tuple[int, list[Difference]]:
    landed_light = pa.concat_tables([WINDOWS_SCHEMA.empty_table(), *(t.cast(WINDOWS_SCHEMA) for t in light)])
    landed_heavy = pa.concat_tables(
        [PROFILES_SCHEMA.empty_table(), *(t.cast(PROFILES_SCHEMA) for t in heavy)]
    )
    if any(table.num_rows for table in records):
        profiles = engine.profiles(pa.concat_tables(list(records)))
        fresh_light, fresh_heavy = (
            profiles.to_windows_table(),
            profiles.to_profiles_table(min_records=MIN_RECORDS),
        )
    else:
        fresh_light, fresh_heavy = WINDOWS_SCHEMA.empty_table(), PROFILES_SCHEMA.empty_table()
    dimension = engine.parameters.space.dimension
    found: list[Difference] = []
    if not landed_light.equals(fresh_light):
        found += _rows(landed_light, fresh_light, (*LIGHT_FIELDS, *ASKABLE_FIELDS), source.windows, dimension)
    if not landed_heavy.equals(fresh_heavy):
        found += _rows(landed_heavy, fresh_heavy, _HEAVY_FIELDS, source.profiles or source.windows, dimension)
    return landed_light.num_rows, found


def _rows(
    landed: pa.Table, fresh: pa.Table, fields: Sequence[str], file: Path, dimension: int
) -> list[Difference]:
    """Compare row by row; only for blocks that are known to differ."""
    ours, theirs = ({_key(row): row for row in table.to_pylist()} for table in (landed, fresh))
    found = []
    if landed.num_rows != len(ours):
        found.append(
            Difference("", "", "keys", f"{landed.num_rows} rows", f"{len(ours)} different keys", str(file))
        )
    for key in sorted(set(ours) | set(theirs)):
        account, window = key
        mine, other = ours.get(key), theirs.get(key)
        if mine is None or other is None:
            a, b = (None if row is None else str(row["records"]) for row in (mine, other))
            found.append(Difference(account, window, "records", a, b, str(file)))
            continue
        for name in fields:
            found += [
                Difference(account, window, name + place, str(ours_is), str(theirs_is), str(file))
                for place, ours_is, theirs_is in _values(name, mine[name], other[name], dimension)
            ]
    return found


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row[ACCOUNT], row["window_start"].isoformat()


def _values(name: str, landed: Any, fresh: Any, dimension: int) -> Iterator[tuple[str, Any, Any]]:
    """Where two values of a field differ: the whole, a bucket, or the first of a blob's numbers."""
    if landed == fresh:
        return
    if isinstance(landed, list):
        left, right = ({pair["bucket"]: pair["count"] for pair in pairs} for pairs in (landed, fresh))
        for bucket in sorted(set(left) | set(right)):
            if left.get(bucket, 0) != right.get(bucket, 0):
                yield f"[{bucket}]", left.get(bucket, 0), right.get(bucket, 0)
    elif isinstance(landed, bytes):
        a, b = (_numbers(name, blob, dimension) for blob in (landed, fresh))
        if len(a) != len(b):
            yield " (numbers)", len(a), len(b)
            return
        differing = np.flatnonzero(a != b)
        if len(differing):  # else the same numbers in another width
            place = int(differing[0])
            yield f"[{place}]", a[place], b[place]
    else:
        yield "", landed, fresh


def _numbers(name: str, blob: bytes, dimension: int) -> np.ndarray[Any, Any]:
    """The integers of a blob; sums are int32 or int64, and their count tells which."""
    if name in DISTINCT_FIELDS:
        return np.frombuffer(blob, "<u8")
    counts = {"embedding_sum": dimension, "kernel_mean": FEATURES}
    return np.frombuffer(blob, "<i4" if len(blob) == 4 * counts.get(name, 0) else "<i8")
