"""Compaction: absorb landed segments into one file per date and kind, and compute the profiles anew.

A run is named by what it was made from, and its files depend on nothing else: a compaction that was cut short
goes on with the dates that are missing, and two that do the same write the same. Nothing of it is live until
the manifest names it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ChainMoved, LakeError
from pipeline.lake.documents import canonical, digest, file_digest, readable
from pipeline.lake.graveyard import recover
from pipeline.lake.manifest import Manifest, RunFile, Span
from pipeline.lake.ordering import (
    contents_digest,
    position_pairs,
    positions_digest,
    sort_positions,
    sort_records,
)
from pipeline.lake.parquet import RECORDS_ROW_GROUP, LakeFileWriter
from pipeline.lake.paths import run_folder
from pipeline.lake.profile_files import MIN_RECORDS, ProfileFilesWriter
from pipeline.lake.rowgroups import gone, merge_by_account
from pipeline.lake.segments import code_fingerprint
from pipeline.records.schema import KIND_RECORD, segment_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake.lake import Lake
    from pipeline.lake.segments import Segment
    from pipeline.lake.snapshot import Snapshot

RUN_FORMAT = 1
Scope = Literal["tail", "touched", "all"]

# Every date being written holds a row group of records (6 MB) in memory.
_DATES_AT_ONCE = 16
_BLOCK_RECORDS = 65_536
_DAY = 86_400 * 1_000_000
_DONE = "done.json"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did."""

    run_id: str
    manifest: Manifest
    dates: tuple[str, ...]
    resumed: tuple[str, ...]
    segments: int
    files: tuple[RunFile, ...]


@dataclass(slots=True)
class _Plan:
    """What goes into a run."""

    segments: list[Segment]
    replaced: list[RunFile]
    spans: dict[str, Span] = field(default_factory=dict)
    dates: set[str] = field(default_factory=set)
    run_id: str = ""


def compact(
    lake: Lake,
    engine: Engine,
    *,
    vector: Mapping[str, int] | None = None,
    scope: Scope = "tail",
    rewrite: Collection[str] = (),
    force: bool = False,
    also: Callable[[Snapshot], Callable[[Manifest], Manifest]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Compacted | None:
    """Absorb segments into a new run and publish it; None when there is nothing to do.

    Parameters
    ----------
    vector
        Chain key to offset: absorb the segments that lie wholly below. None: everything landed. Chains that
        are not named are left alone.
    scope
        ``"tail"`` adds a run beside those there are (cheap, hourly). ``"touched"`` also rewrites the dates that get
        new rows or have several runs, so that each has one file again. ``"all"`` rewrites every date.
    rewrite
        Dates whose windows and profiles are computed from their records again, whatever ``scope`` says.
    force
        Rewrite although nothing has landed since and every date has one file.
    also
        Given the lake as it will be, says what else the same manifest is to change (scores, alerts), so that
        readers see both or neither.
    progress
        Told how many dates are done, of how many.

    Raises
    ------
    ChainMoved
        Somebody else published in between; call again.
    LakeError
        A segment is not what its metadata says.
    """
    snapshot = lake.snapshot()
    plan = _plan(lake, snapshot, vector, scope, rewrite, force=force)
    if plan is None:
        return None
    files: list[RunFile] = []
    resumed = []
    missing = []
    for date in sorted(plan.dates):
        done = _read_done(lake, plan.run_id, date)
        if done is None:
            missing.append(date)
        else:
            resumed.append(date)
            files += done
    try:
        for at in range(0, len(missing), _DATES_AT_ONCE):
            files += _write_dates(lake, engine, plan, missing[at : at + _DATES_AT_ONCE])
            if progress is not None:
                progress(len(resumed) + min(len(missing), at + _DATES_AT_ONCE), len(plan.dates))
    except FileNotFoundError as error:
        raise gone(error) from error
    manifest = _publish(lake, plan, files, also)
    return Compacted(
        run_id=plan.run_id,
        manifest=manifest,
        dates=tuple(sorted(plan.dates)),
        resumed=tuple(resumed),
        segments=len(plan.segments),
        files=tuple(files),
    )


def _publish(
    lake: Lake,
    plan: _Plan,
    files: Sequence[RunFile],
    also: Callable[[Snapshot], Callable[[Manifest], Manifest]] | None,
) -> Manifest:
    about = {
        "format": RUN_FORMAT,
        "code": code_fingerprint(),
        "parameters": lake.config.parameters,
        "window_seconds": lake.config.window_seconds,
    }
    for file in files:
        if not recover(lake.store, file.path):
            msg = f"{lake.store.path(file.path)} was swept before its run was published; compact again"
            raise ChainMoved(msg)

    def with_run(manifest: Manifest) -> Manifest:
        if plan.run_id in manifest.runs:
            return manifest
        replaces = [file.path for file in plan.replaced]
        return manifest.with_run(plan.run_id, about=about, files=files, spans=plan.spans, replaces=replaces)

    if also is None:
        return lake.publish(with_run)
    # Computed once, against the lake as it will be. Somebody else's publication in between makes with_run refuse
    # where it matters.
    more = also(lake.snapshot(with_run(lake.manifest())))
    return lake.publish(lambda manifest: more(with_run(manifest)))


# What goes in


def _plan(
    lake: Lake,
    snapshot: Snapshot,
    vector: Mapping[str, int] | None,
    scope: Scope,
    rewrite: Collection[str],
    *,
    force: bool,
) -> _Plan | None:
    chosen: dict[str, list[Segment]] = {}
    for key, tail in snapshot.tails.items():
        limit = tail.head if vector is None else vector.get(key, tail.start)
        segments = [segment for segment in tail.segments if segment.next_offset <= limit]
        if segments:
            chosen[key] = segments
    plan = _Plan([segment for segments in chosen.values() for segment in segments], [])
    for segments in chosen.values():
        _look_into(lake, plan, segments)
    by_date = defaultdict(list)
    for file in snapshot.manifest.files:
        by_date[file.date].append(file)
    for date, files in by_date.items():
        several = len({file.run_id for file in files}) > 1
        if scope == "all" or date in rewrite or (scope == "touched" and (date in plan.dates or several)):
            plan.replaced += files
    settled = not (plan.segments or rewrite) and all(
        len({f.run_id for f in files}) == 1 for files in by_date.values()
    )
    if (settled and not force) or not (plan.segments or plan.replaced):
        return None
    plan.dates |= {file.date for file in plan.replaced}
    plan.replaced.sort(key=lambda file: file.path)
    plan.run_id = digest(
        canonical(
            {
                "format": RUN_FORMAT,
                "lake": lake.fingerprint,
                "code": code_fingerprint(),
                "segments": [[s.key, s.last_offset, s.contents_digest] for s in plan.segments],
                "replaces": [[file.path, file.digest] for file in plan.replaced],
            }
        )
    )[:32]
    plan.spans = {key: _with_run_id(span, plan.run_id) for key, span in plan.spans.items()}
    return plan


def _with_run_id(span: Span, run_id: str) -> Span:
    return Span(**{**{name: getattr(span, name) for name in Span.__slots__}, "run_id": run_id})


def _look_into(lake: Lake, plan: _Plan, segments: Sequence[Segment]) -> None:
    """Dates and positions of one chain's segments, checked against what they say of themselves.

    Contents too: what is absorbed gets digests of its own, and these would vouch for whatever was done to a segment.
    """
    hasher = hashlib.blake2b(digest_size=32)
    counted = {"records": 0, "rejected": 0, "forgotten": 0}
    schema = segment_schema(lake.config.space)
    for segment in segments:
        path = lake.store.path(segment.key)
        try:
            table = pq.read_table(path, schema=schema, partitioning=None)
        except FileNotFoundError as error:
            raise gone(error) from error
        pairs = position_pairs(table)
        if positions_digest(pairs) != segment.positions_digest:
            msg = f"{path}: its positions are not those it was landed with; run `distillwatch verify`"
            raise LakeError(msg)
        if contents_digest(table) != segment.contents_digest:
            msg = f"{path}: its contents are not those it was landed with; restore it from a copy of the lake, or see `distillwatch verify`"
            raise LakeError(msg)
        hasher.update(np.ascontiguousarray(pairs, "<i8").tobytes())
        plan.dates.update(_dates(table.column("event_time")))
        if segment.rejected or segment.forgotten:
            plan.dates.add(_dead_date(segment))
        for name in counted:
            counted[name] += getattr(segment, name)
    first = segments[0]
    plan.spans[first.chain.key] = Span(
        first_offset=first.first_offset,
        next_offset=segments[-1].next_offset,
        segments=len(segments),
        positions_digest=hasher.hexdigest(),
        run_id="",
        lost=tuple(lost for segment in segments for lost in segment.lost),
        **counted,
    )


def _dates(times: pa.ChunkedArray) -> set[str]:
    days = np.unique(times.drop_null().cast(pa.int64()).to_numpy() // _DAY)
    return {str(np.datetime64(int(day), "D")) for day in days}


def _dead_date(segment: Segment) -> str:
    """Rejected rows have no event time that could be trusted: they lie under the day they arrived."""
    return (segment.last_append_time or segment.created_at)[:10]


# What comes out


def _write_dates(lake: Lake, engine: Engine, plan: _Plan, dates: Sequence[str]) -> list[RunFile]:
    """Write some dates in one pass over the segments: each of these may hold all of the dates."""
    writers = {date: _DateWriter(lake, engine, plan.run_id, date) for date in dates}
    days = {np.datetime64(date, "D").astype(np.int64): writer for date, writer in writers.items()}
    wanted = pa.array(list(days), pa.int64())
    replaced = [file for file in plan.replaced if file.date in writers]
    paths = [lake.store.path(segment.key) for segment in plan.segments]
    paths += [lake.store.path(file.path) for file in replaced if file.kind == "records"]

    def keep(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(_days(table), value_set=wanted))

    try:
        for block in merge_by_account(paths, None, rows=_BLOCK_RECORDS, keep=keep):
            ordered = sort_records(block)
            day = _days(ordered).to_numpy()
            for number, writer in days.items():
                mine = day == number
                if mine.any():
                    writer.write_records(ordered if mine.all() else ordered.filter(pa.array(mine)))
        for date, writer in writers.items():
            writer.write_others(_others(lake, plan, replaced, date))
    except BaseException:
        for writer in writers.values():
            writer.abort()
        raise
    return [file for writer in writers.values() for file in writer.publish()]


def _days(table: pa.Table) -> Any:
    times = table.column("event_time").cast(pa.int64()).to_numpy()
    return pa.array(times // _DAY)


def _others(lake: Lake, plan: _Plan, replaced: Iterable[RunFile], date: str) -> pa.Table:
    """Rejected records and tombstones of a date, by position."""
    paths = [
        lake.store.path(segment.key)
        for segment in plan.segments
        if (segment.rejected or segment.forgotten) and _dead_date(segment) == date
    ]
    paths += [
        lake.store.path(file.path)
        for file in replaced
        if file.date == date and file.kind in {"records", "dead_letters"}
    ]
    tables = [segment_schema(lake.config.space).empty_table()]
    tables += [
        pq.read_table(path, filters=pc.field("kind") != KIND_RECORD, partitioning=None) for path in paths
    ]
    return sort_positions(pa.concat_tables(tables))


class _DateWriter:
    """Writes the files of one date of one run."""

    def __init__(self, lake: Lake, engine: Engine, run_id: str, date: str) -> None:
        self._lake = lake
        self._engine = engine
        self._run_id = run_id
        self._date = date
        schema = segment_schema(lake.config.space)
        self._paths: dict[str, Path] = {kind: lake.store.temporary() for kind in ("records", "dead_letters")}
        self._writers = {
            kind: LakeFileWriter(path, schema, row_group=RECORDS_ROW_GROUP)
            for kind, path in self._paths.items()
        }
        self._profiles = ProfileFilesWriter(lake.store, engine.parameters)

    def write_records(self, ordered: pa.Table) -> None:
        """Append records, ascending by account from call to call."""
        self._writers["records"].write(ordered)
        for profiles in self._engine.profile_blocks(ordered, heavy_from=MIN_RECORDS):
            self._profiles.write(profiles)

    def write_others(self, table: pa.Table) -> None:
        """Write rejected records and tombstones."""
        self._writers["dead_letters"].write(table)

    def abort(self) -> None:
        """Give up."""
        self._profiles.abort()
        for writer in self._writers.values():
            writer.abort()

    def publish(self) -> list[RunFile]:
        """Put the files that have rows, then the note that the date is complete."""
        # No run id, no time, no writer: equal rows give equal bytes in every run.
        about = {
            "format": RUN_FORMAT,
            "date": self._date,
            "lake_fingerprint": self._lake.fingerprint,
            "parameters": self._lake.config.parameters,
            "window_seconds": self._lake.config.window_seconds,
            "code": code_fingerprint(),
        }
        rows = {kind: writer.rows for kind, writer in self._writers.items()}
        rows |= {"windows": self._profiles.windows, "profiles": self._profiles.heavy_rows}
        for kind, writer in self._writers.items():
            writer.close({**about, "kind": kind})
        profiles_digest = self._profiles.profiles_digest()
        self._profiles.close_heavy({**about, "kind": "profiles"})
        self._profiles.close_light({**about, "kind": "windows", "profiles_digest": profiles_digest})
        paths = {**self._paths, "windows": self._profiles.light, "profiles": self._profiles.heavy}
        files = [self._put(kind, paths[kind], count) for kind, count in rows.items() if count]
        for kind, count in rows.items():
            if not count:
                paths[kind].unlink()
        done = readable({"files": [asdict(file) for file in files]})
        self._lake.store.put_bytes(done, f"{run_folder(self._run_id, self._date)}/{_DONE}")
        return files

    def _put(self, kind: str, temporary: Path, rows: int) -> RunFile:
        store = self._lake.store
        key = f"{run_folder(self._run_id, self._date)}/{kind}.parquet"
        path = store.path(key)
        try:
            if not store.put_file(temporary, key):
                # An earlier attempt got this far, or another compactor is doing the same.
                store.touch(key)
            size, content = path.stat().st_size, file_digest(path)
        except FileNotFoundError as error:
            msg = f"{path} was swept while its run was being written; compact again"
            raise ChainMoved(msg) from error
        return RunFile(self._run_id, self._date, kind, key, rows, size, content)


def _read_done(lake: Lake, run_id: str, date: str) -> list[RunFile] | None:
    """The files of a date that an earlier attempt completed, None if it did not."""
    folder = run_folder(run_id, date)
    data = lake.store.read_bytes(f"{folder}/{_DONE}")
    if data is None:
        return None
    files = [RunFile(**file) for file in json.loads(data)["files"]]
    try:
        for key in [*(file.path for file in files), f"{folder}/{_DONE}"]:
            lake.store.touch(key)  # young again, so that no sweep takes them before they are published
    except FileNotFoundError:
        return None
    return files
