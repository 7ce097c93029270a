"""The lake's side of promise 2: every offset of every chain is in exactly one place, once.

Nothing is believed that can be read: positions come from the rows, and the digests of the metadata and the
manifest are held against them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import LakeError
from pipeline.lake.documents import file_digest
from pipeline.lake.ordering import contents_digest, positions_digest
from pipeline.lake.paths import SEGMENTS, Chain
from pipeline.records.schema import KIND_FORGOTTEN, KIND_RECORD, KIND_REJECTED, segment_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.lake.manifest import Span
    from pipeline.lake.segments import Segment
    from pipeline.lake.snapshot import Snapshot, Tail

_KINDS = (KIND_RECORD, KIND_REJECTED, KIND_FORGOTTEN)
_POSITION_COLUMNS = ["topic_id", "partition", "offset", "row", "kind"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or (``severity`` ``note``) that a person decided and may want to see."""

    severity: str
    check: str
    chain: str
    where: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class ChainCoverage:
    """What one chain covers; ``records + rejected + forgotten`` rows lie at offsets ``start`` to ``head - 1``."""

    chain: str
    topic: str
    start: int
    head: int
    absorbed: int
    segments: int
    records: int
    rejected: int
    forgotten: int
    lost: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The proof, or what contradicts it."""

    chains: tuple[ChainCoverage, ...]
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts it; notes do not."""
        return all(finding.severity == "note" for finding in self.findings)


def check_coverage(
    snapshot: Snapshot, *, contents: bool = True, progress: Callable[[int, int], None] | None = None
) -> Coverage:
    """Read every position of the lake and hold it against what the metadata says.

    Parameters
    ----------
    contents
        Also digest all other columns and every file of the runs: reads the whole lake instead of 5 % of it.
    progress
        Told how many files are done, of how many.

    Notes
    -----
    Holds 20 bytes for each row of the runs.
    """
    checker = _Checker(snapshot, contents=contents, progress=progress)
    chains = tuple(checker.chain(key, tail) for key, tail in snapshot.tails.items())
    checker.run_rows_nobody_absorbed()
    return Coverage(chains, tuple(checker.findings))


class _Checker:
    def __init__(
        self, snapshot: Snapshot, *, contents: bool, progress: Callable[[int, int], None] | None
    ) -> None:
        self.findings: list[Finding] = []
        self._snapshot = snapshot
        self._contents = contents
        self._progress = progress
        self._rows_files = [f for f in snapshot.manifest.files if f.kind in {"records", "dead_letters"}]
        self._total = len(snapshot.segments) + len(snapshot.manifest.files) + len(snapshot.rollups)
        self._done = 0
        self._run_rows = self._read_runs()

    def _tick(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _find(
        self, check: str, chain: str, where: object, expected: object, found: object, severity: str = "error"
    ) -> None:
        self.findings.append(Finding(severity, check, chain, str(where), str(expected), str(found)))

    # Runs

    def _read_runs(self) -> dict[str, NDArray[np.int64]]:
        """(offset, row, kind) of every row of the runs by chain, int64[n, 3], sorted."""
        pieces: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
        for file in self._snapshot.manifest.files:
            path = self._snapshot.store.path(file.path)
            self._tick()
            if not path.exists():
                self._find("file_missing", "", path, f"{file.rows} rows", "no file")
                continue
            if self._contents and file_digest(path) != file.digest:
                self._find("file_changed", "", path, file.digest, file_digest(path))
            if file in self._rows_files:
                for key, rows in _positions(path):
                    pieces[key].append(rows)
            elif (rows := pq.read_metadata(path).num_rows) != file.rows:
                self._find("row_count", "", path, file.rows, rows)
        return {key: _sorted_rows(np.concatenate(parts)) for key, parts in pieces.items()}

    def run_rows_nobody_absorbed(self) -> None:
        """Rows of chains that the manifest has no span for."""
        for key, rows in self._run_rows.items():
            if len(rows):
                self._find(
                    "unabsorbed_rows", key, "runs", "no rows", f"{len(rows)} rows from offset {rows[0, 0]}"
                )

    # One chain

    def chain(self, key: str, tail: Tail) -> ChainCoverage:
        """Walk a chain from its origin: spans of the runs, then segments, then roll-ups."""
        counted = dict.fromkeys(_KINDS, 0)
        spans = self._snapshot.manifest.spans.get(key, ())
        lost = [
            *(one for span in spans for one in span.lost),
            *(one for s in tail.segments for one in s.lost),
        ]
        at = tail.origin.start
        for span in spans:
            if span.first_offset != at:
                self._find(
                    "span_gap",
                    key,
                    f"run {span.run_id}",
                    f"from offset {at}",
                    f"from offset {span.first_offset}",
                )
            self._span(key, span, counted)
            at = span.next_offset
        if at != tail.start:
            self._find(
                "absorbed_vector", key, "manifest", f"absorbed up to {at}", f"absorbed up to {tail.start}"
            )
        for segment in tail.segments:
            self._segment(key, segment, counted)
        self._rollups(key, tail)
        self._unreachable(tail)
        for first, last, why in lost:
            self._find("declared_lost", key, f"offsets {first} to {last}", "landed", why, "note")
        return ChainCoverage(
            chain=key,
            topic=tail.origin.topic,
            start=tail.origin.start,
            head=tail.head,
            absorbed=tail.start,
            segments=len(tail.segments),
            records=counted[KIND_RECORD],
            rejected=counted[KIND_REJECTED],
            forgotten=counted[KIND_FORGOTTEN],
            lost=sum(last - first + 1 for first, last, _ in lost),
        )

    def _span(self, key: str, span: Span, counted: dict[str, int]) -> None:
        rows = self._run_rows.get(key, np.empty((0, 3), np.int64))
        low, high = np.searchsorted(rows[:, 0], [span.first_offset, span.next_offset])
        self._run_rows[key] = np.concatenate([rows[:low], rows[high:]])
        said = {KIND_RECORD: span.records, KIND_REJECTED: span.rejected, KIND_FORGOTTEN: span.forgotten}
        where = f"offsets {span.first_offset} to {span.next_offset - 1} in runs"
        # Forgetting turns records of a run into tombstones; their number is what has to stay.
        self._rows(key, where, rows[low:high], said, span.positions_digest, counted, kinds=False)

    def _segment(self, key: str, segment: Segment, counted: dict[str, int]) -> None:
        path = self._snapshot.store.path(segment.key)
        self._tick()
        try:
            by_chain = dict(_positions(path))
        except (FileNotFoundError, pa.ArrowException, OSError) as error:
            self._find("unreadable", key, path, f"{segment.rows} rows", error)
            return
        if others := sorted(by_chain.keys() - {key}):
            self._find("foreign_rows", key, path, f"rows of {key}", f"rows of {', '.join(others)}")
        rows = _sorted_rows(np.concatenate([np.empty((0, 3), np.int64), *by_chain.values()]))
        outside = rows[(rows[:, 0] < segment.first_offset) | (rows[:, 0] > segment.last_offset), 0]
        if len(outside):
            self._find(
                "outside_range",
                key,
                path,
                f"{segment.first_offset} to {segment.last_offset}",
                f"offset {outside[0]}",
            )
        said = {
            KIND_RECORD: segment.records,
            KIND_REJECTED: segment.rejected,
            KIND_FORGOTTEN: segment.forgotten,
        }
        self._rows(key, path, rows, said, segment.positions_digest, counted, kinds=True)
        for name, own in (
            ("lake_fingerprint", self._snapshot.config.fingerprint),
            ("parameters", self._snapshot.config.parameters),
        ):
            if getattr(segment, name) != own:
                self._find(name, key, path, own, getattr(segment, name))
        if self._contents:
            table = pq.read_table(path, schema=segment_schema(self._snapshot.config.space), partitioning=None)
            found = contents_digest(table)
            if found != segment.contents_digest:
                self._find("contents_digest", key, path, segment.contents_digest, found)

    def _rows(
        self,
        key: str,
        where: object,
        rows: NDArray[np.int64],
        said: dict[str, int],
        said_digest: str,
        counted: dict[str, int],
        *,
        kinds: bool,
    ) -> None:
        """Counts, uniqueness and digest of a range's rows (sorted)."""
        found = {kind: int((rows[:, 2] == number).sum()) for number, kind in enumerate(_KINDS)}
        for kind, count in found.items():
            counted[kind] += count
        if (found != said) if kinds else (len(rows) != sum(said.values())):
            self._find("row_count", key, where, said, found)
        twice = rows[1:][(rows[1:, :2] == rows[:-1, :2]).all(axis=1)]
        if len(twice):
            self._find(
                "twice",
                key,
                where,
                "each position once",
                f"{len(twice)} twice, the first at offset {twice[0, 0]}",
            )
        found_digest = positions_digest(rows[:, :2])
        if found_digest != said_digest:
            self._find("positions_digest", key, where, said_digest, found_digest)

    def _rollups(self, key: str, tail: Tail) -> None:
        for rollup in tail.rollups:
            self._tick()
            path = self._snapshot.store.path(rollup.key)
            try:
                behind: Sequence[Segment] = tail.within(rollup.first_offset, rollup.next_offset)
            except LakeError as error:
                self._find("rollup_range", key, path, "whole segments", error)
                continue
            records = sum(segment.records for segment in behind)
            if records != rollup.records:
                self._find("rollup_records", key, path, records, rollup.records)
            heavy = self._snapshot.store.path(rollup.heavy)
            if not heavy.exists():
                self._find("file_missing", key, heavy, f"{rollup.heavy_rows} rows", "no file")
            elif self._contents and file_digest(heavy) != rollup.heavy_digest:
                self._find("file_changed", key, heavy, rollup.heavy_digest, file_digest(heavy))

    def _unreachable(self, tail: Tail) -> None:
        """Segments beyond the head: a link before them is gone."""
        folder = f"{SEGMENTS}/{tail.chain.folder}"
        reached = {segment.first_offset for segment in tail.segments}
        for name in self._snapshot.store.names(folder):
            # Those after the head may have been landed since the snapshot was taken, from the head on.
            if name[:20].isdigit() and int(name[:20]) > tail.head and int(name[:20]) not in reached:
                if self._snapshot.store.exists(tail.chain.segment(tail.head)):
                    return
                self._find(
                    "unreachable",
                    tail.chain.key,
                    f"{folder}/{name}",
                    f"a segment at offset {tail.head}",
                    "none",
                )


def _positions(path: Path) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(offset, row, kind) of a file's rows by chain."""
    table = pq.read_table(
        path, columns=_POSITION_COLUMNS, read_dictionary=["topic_id", "kind"], partitioning=None
    )
    if not table.num_rows:
        return
    table = table.unify_dictionaries().combine_chunks()
    topics, kinds = (table.column(name).combine_chunks() for name in ("topic_id", "kind"))
    topics, kinds = (c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in (topics, kinds))
    number_of_kind = np.array([_KINDS.index(kind) for kind in kinds.dictionary.to_pylist()], np.int64)
    rows = np.empty((table.num_rows, 3), np.int64)
    rows[:, 0] = table.column("offset").to_numpy()
    rows[:, 1] = table.column("row").to_numpy()
    rows[:, 2] = number_of_kind[kinds.indices.to_numpy()]
    codes = topics.indices.to_numpy().astype(np.int64) * 100_000 + table.column("partition").to_numpy()
    names = topics.dictionary.to_pylist()
    for code in np.unique(codes):
        yield Chain(names[int(code) // 100_000], int(code) % 100_000).key, rows[codes == code]


def _sorted_rows(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]
