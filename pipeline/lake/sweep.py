"""Removing what no reader can be using any more.

The grace period has to be longer than the longest query, the longest roll-up and the longest compaction: within
it nothing is removed, whatever the manifest says.

Absorbed segments and roll-ups are deleted as they are found: a chain never goes back, so no manifest can need them
again. Files of runs and tables can be named again at any time; they go by way of the graveyard, and that no
manifest ever names a deleted one does not rest on the grace period (see `pipeline.lake.graveyard`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.lake.graveyard import bury, graves, is_grave
from pipeline.lake.paths import ROLLUPS, RUNS, SEGMENTS, TABLES, Chain
from pipeline.lake.rollups import read_rollup
from pipeline.lake.store import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.clock import Clock
    from pipeline.lake.lake import Lake
    from pipeline.lake.manifest import Manifest

DEFAULT_GRACE_SECONDS = 6 * 3600.0
_WINDOWS = ".windows.parquet"
_PROFILES = ".profiles.parquet"
_NAMEABLE = ("run", "table")


@dataclass(frozen=True, slots=True)
class Swept:
    """How many files of which kind were removed."""

    removed: Counter[str] = field(default_factory=Counter)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Horizon:
    """What has to stay: ``absorbed`` as of a grace period ago, and every file that was live since then."""

    cutoff: float
    absorbed: dict[str, int]
    keep: set[str]


def sweep(lake: Lake, grace_seconds: float = DEFAULT_GRACE_SECONDS, clock: Clock | None = None) -> Swept:
    """Remove litter of crashed writers, absorbed segments and roll-ups, and files no longer live.

    Parameters
    ----------
    grace_seconds
        What was live so long ago, or was written since, stays.
    """
    now = (clock or lake.clock).now().timestamp()
    removed: Counter[str] = Counter()
    size = 0
    while True:
        manifest = lake.manifest()
        doomed = list(_doomed(lake, _horizon(lake, manifest, now - grace_seconds)))
        # A run may have been published while we looked; then its files are live now.
        if lake.manifest().number == manifest.number:
            break
    for kind, key in doomed:
        if kind in _NAMEABLE:
            # After a publication the list is stale, and what is missing from it is left to the next sweep.
            if lake.manifest().number == manifest.number and _old(lake, key, now - grace_seconds):
                bury(lake.store, key)
        elif (bytes_ := _delete(lake, key)) is not None:
            size += bytes_
            removed[kind] += 1
    # Also what a sweep that died has left.
    if buried := graves(lake.store):
        kept = _kept_for_good(lake, now - grace_seconds)
        for grave in buried:
            if grave.key in kept:
                lake.store.put_back(grave.place, grave.key)
            elif (bytes_ := _delete(lake, grave.place)) is not None:
                size += bytes_
                removed["run" if grave.key.startswith(f"{RUNS}/") else "table"] += 1
    _remove_empty_folders(lake, now - grace_seconds)
    return Swept(removed, size)


def _delete(lake: Lake, key: str) -> int | None:
    """Delete a file; its bytes, or None if another sweep was here."""
    try:
        size = lake.store.path(key).stat().st_size
    except FileNotFoundError:
        return None
    lake.store.delete(key)
    return size


def _kept_for_good(lake: Lake, cutoff: float) -> set[str]:
    """What the current manifest keeps, published once more: later ones name only what lies under its name by now."""
    kept: set[str] = set()

    def same(manifest: Manifest) -> Manifest:
        nonlocal kept
        kept = _horizon(lake, manifest, cutoff).keep
        return manifest

    lake.publish(same, again=True)
    return kept


def _horizon(lake: Lake, manifest: Manifest, cutoff: float) -> _Horizon:
    keep = manifest.keys()
    while (
        manifest.number
        and datetime.fromisoformat(manifest.created_at).replace(tzinfo=UTC).timestamp() > cutoff
    ):
        manifest = lake.manifest(manifest.number - 1)
        keep |= manifest.keys()
    return _Horizon(cutoff, dict(manifest.absorbed), keep)


def _doomed(lake: Lake, horizon: _Horizon) -> Iterator[tuple[str, str]]:
    for name in lake.store.names(TEMPORARY):
        if not is_grave(name) and _old(lake, f"{TEMPORARY}/{name}", horizon.cutoff):
            yield "temporary", f"{TEMPORARY}/{name}"
    for key, absorbed in horizon.absorbed.items():
        folder = f"{SEGMENTS}/{Chain.parse(key).folder}"
        for name in lake.store.names(folder):
            if name[:20].isdigit() and int(name[:20]) < absorbed:
                yield "segment", f"{folder}/{name}"
    for topic_id in lake.store.names(ROLLUPS):
        for partition in lake.store.names(f"{ROLLUPS}/{topic_id}"):
            yield from _doomed_rollups(lake, Chain(topic_id, int(partition)), horizon)
    yield from _doomed_runs(lake, horizon)
    for table in lake.store.names(TABLES):
        for name in lake.store.names(f"{TABLES}/{table}"):
            key = f"{TABLES}/{table}/{name}"
            if key not in horizon.keep and _old(lake, key, horizon.cutoff):
                yield "table", key


def _doomed_rollups(lake: Lake, chain: Chain, horizon: _Horizon) -> Iterator[tuple[str, str]]:
    folder = f"{ROLLUPS}/{chain.folder}"
    absorbed = horizon.absorbed.get(chain.key, 0)
    for name in lake.store.names(folder):
        key = f"{folder}/{name}"
        first = int(name[:20])
        if first < absorbed:
            yield ("rollup" if name.endswith(_WINDOWS) else "heavy"), key
        elif name.endswith(_PROFILES) and _old(lake, key, horizon.cutoff):
            # Its writer lost the race or died before the commit, unless the commit names it.
            commit = read_rollup(lake.store, chain, first)
            if commit is None or commit.heavy != key:
                yield "heavy", key


def _doomed_runs(lake: Lake, horizon: _Horizon) -> Iterator[tuple[str, str]]:
    for run_id in lake.store.names(RUNS):
        dates = {
            date: lake.store.names(f"{RUNS}/{run_id}/{date}") for date in lake.store.names(f"{RUNS}/{run_id}")
        }
        keys = {date: [f"{RUNS}/{run_id}/{date}/{name}" for name in names] for date, names in dates.items()}
        # A run that is being written has old files and new ones; as long as one is young, all stay.
        if not all(_old(lake, key, horizon.cutoff) for names in keys.values() for key in names):
            continue
        for names in keys.values():
            if not horizon.keep.intersection(names):
                for key in names:
                    yield "run", key


def _old(lake: Lake, key: str, cutoff: float) -> bool:
    modified = lake.store.modified(key)
    return modified is not None and modified < cutoff


def _remove_empty_folders(lake: Lake, cutoff: float) -> None:
    for run_id in lake.store.names(RUNS):
        for folder in [
            *(f"{RUNS}/{run_id}/{date}" for date in lake.store.names(f"{RUNS}/{run_id}")),
            f"{RUNS}/{run_id}",
        ]:
            modified = lake.store.modified(folder)
            # Not one that was emptied or made just now: a compaction may be about to use it.
            if modified is not None and modified < cutoff:
                lake.store.remove_folder(folder)
