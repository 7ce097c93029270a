"""One consistent view of the lake: a manifest and the reachable tail of every chain, resolved once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import ChainMoved, LakeError
from pipeline.lake.documents import canonical, digest
from pipeline.lake.manifest import End
from pipeline.lake.paths import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.lake.chain import Origin
    from pipeline.lake.config import LakeConfig
    from pipeline.lake.manifest import Manifest
    from pipeline.lake.paths import Chain
    from pipeline.lake.rollups import Rollup
    from pipeline.lake.segments import Segment
    from pipeline.lake.store import Store


@dataclass(frozen=True, slots=True)
class Tail:
    """What of one chain lies outside the runs."""

    chain: Chain
    origin: Origin
    start: int
    segments: tuple[Segment, ...]
    rollups: tuple[Rollup, ...]

    @property
    def head(self) -> int:
        """Next offset to land."""
        return self.segments[-1].next_offset if self.segments else self.start

    @property
    def rollup_head(self) -> int:
        """Next offset to roll up; everything from here to the head is in segments only."""
        return self.rollups[-1].next_offset if self.rollups else self.start

    def loose(self) -> tuple[Segment, ...]:
        """Segments that are not rolled up."""
        return self.within(self.rollup_head, self.head)

    def within(self, first: int, after: int) -> tuple[Segment, ...]:
        """The segments of offsets ``first`` to ``after - 1``.

        Raises
        ------
        LakeError
            A segment lies across one of the ends, or they reach beyond the tail.
        """
        found = tuple(s for s in self.segments if s.first_offset < after and s.next_offset > first)
        begins = found[0].first_offset if found else first
        ends = found[-1].next_offset if found else first
        if (begins, ends) != (first, after):
            msg = (
                f"chain {self.chain.key}: no segments are exactly offsets {first} to {after - 1} "
                f"(found {begins} to {ends - 1}); run `distillwatch verify`"
            )
            raise LakeError(msg)
        return found

    def end(self) -> End:
        """Where it ends, as a manifest that is published now says it."""
        said = [[s.to_document() for s in self.segments], [r.to_document() for r in self.rollups]]
        return End(self.head, self.rollup_head, digest(canonical(said))[:32])

    def until(self, end: End) -> Tail | None:
        """The same chain up to an end that a manifest says.

        None: it is not the chain any more that ended there. Segments or roll-ups of it were swept, or others lie under their names.
        """
        cut = replace(
            self,
            segments=tuple(s for s in self.segments if s.next_offset <= end.landed),
            rollups=tuple(r for r in self.rollups if r.next_offset <= end.rolled_up),
        )
        return cut if cut.end() == end else None

    def below(self, offset: int) -> Tail:
        """The same chain as if nothing had landed from ``offset`` on.

        Raises
        ------
        ChainMoved
            The chain is absorbed beyond the offset, or no segment ends there any more.
        """
        segments = tuple(s for s in self.segments if s.next_offset <= offset)
        cut = replace(
            self, segments=segments, rollups=tuple(r for r in self.rollups if r.next_offset <= offset)
        )
        if cut.head != offset:
            msg = (
                f"chain {self.chain.key} cannot be seen as it was at offset {offset}: it is absorbed up to "
                f"{self.start} and lands up to {self.head}; somebody else compacted meanwhile, try again"
            )
            raise ChainMoved(msg)
        return cut


@dataclass(frozen=True, slots=True)
class Source:
    """Landed profiles and the records that they sum up: one roll-up, or one date of one run."""

    name: str
    windows: Path
    profiles: Path | None
    records: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Exactly which files are the lake, at one moment. Readers open these and no others.

    The files stay for the sweep's grace period; a session that lasts longer takes a new snapshot. ``documents`` are the
    keys of the files of `DOCUMENTS`; None: those that are there when they are asked for.
    """

    store: Store
    config: LakeConfig
    manifest: Manifest
    tails: Mapping[str, Tail]
    documents: tuple[str, ...] | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Reachable segments outside the runs, by chain and offset."""
        return tuple(segment for tail in self.tails.values() for segment in tail.segments)

    @property
    def rollups(self) -> tuple[Rollup, ...]:
        """Reachable roll-ups outside the runs, by chain and offset."""
        return tuple(rollup for tail in self.tails.values() for rollup in tail.rollups)

    @property
    def vector(self) -> dict[str, int]:
        """Chain key to head: everything below is in this snapshot."""
        return {key: tail.head for key, tail in self.tails.items()}

    @property
    def rollup_vector(self) -> dict[str, int]:
        """Chain key to roll-up head: everything below is in `window_files`."""
        return {key: tail.rollup_head for key, tail in self.tails.items()}

    def below(self, vector: Mapping[str, int]) -> Snapshot:
        """The same without what landed from these offsets on, and without chains that are not named.

        Raises
        ------
        ChainMoved
            A chain is absorbed beyond its offset, or one that is not named is: somebody else compacted what came later.
        """
        # A chain that is not named has to vanish, which the rows of runs cannot.
        tails = {key: tail.below(vector.get(key, tail.origin.start)) for key, tail in self.tails.items()}
        return replace(self, tails={key: tails[key] for key in tails if key in vector})

    def segment_files(self) -> list[Path]:
        """Files of the segments outside the runs."""
        return [self.store.path(segment.key) for segment in self.segments]

    def record_files(self) -> list[Path]:
        """Files whose rows with ``kind = 'record'`` are the records."""
        return [*self.segment_files(), *self._run_files("records")]

    def dead_letter_files(self) -> list[Path]:
        """Files whose rows with ``kind = 'rejected'`` are the rejected records."""
        return [*self.segment_files(), *self._run_files("dead_letters")]

    def window_files(self) -> list[Path]:
        """Light files; an account and window may have a row in each: add them."""
        return [*(self.store.path(r.key) for r in self.rollups), *self._run_files("windows")]

    def profile_files(self) -> list[Path]:
        """Heavy files; rows with fewer than 8 records are not in them."""
        return [
            *(self.store.path(r.heavy) for r in self.rollups if r.heavy_rows),
            *self._run_files("profiles"),
        ]

    def table_files(self, name: str) -> list[Path]:
        """Live files of a result table."""
        return [self.store.path(file.path) for file in self.manifest.tables.get(name, ())]

    def documents_in(self, folder: str) -> list[str]:
        """Keys of the JSON files of one of `DOCUMENTS`, sorted."""
        found = list_documents(self.store) if self.documents is None else self.documents
        return [key for key in found if key.startswith(f"{folder}/")]

    def loose_files(self) -> list[Path]:
        """Segments that no landed window sums up yet."""
        return [self.store.path(s.key) for tail in self.tails.values() for s in tail.loose()]

    def sources(self) -> list[Source]:
        """Landed profiles with the records behind them."""
        found = []
        for tail in self.tails.values():
            for rollup in tail.rollups:
                behind = tail.within(rollup.first_offset, rollup.next_offset)
                found.append(
                    Source(
                        name=rollup.key,
                        windows=self.store.path(rollup.key),
                        profiles=self.store.path(rollup.heavy) if rollup.heavy_rows else None,
                        records=tuple(self.store.path(s.key) for s in behind),
                    )
                )
        groups: dict[tuple[str, str], dict[str, Path]] = {}
        for file in self.manifest.files:
            if file.rows:
                groups.setdefault((file.run_id, file.date), {})[file.kind] = self.store.path(file.path)
        for (run_id, date), kinds in sorted(groups.items()):
            if "windows" in kinds:
                found.append(
                    Source(
                        name=f"{run_id} {date}",
                        windows=kinds["windows"],
                        profiles=kinds.get("profiles"),
                        records=(kinds["records"],) if "records" in kinds else (),
                    )
                )
        return found

    def _run_files(self, kind: str) -> list[Path]:
        return [self.store.path(file.path) for file in self.manifest.run_files(kind) if file.rows]


def list_documents(store: Store) -> tuple[str, ...]:
    """Keys of the files of `DOCUMENTS` that are there now, sorted."""
    return tuple(
        f"{folder}/{name}" for folder in DOCUMENTS for name in store.names(folder) if name.endswith(".json")
    )
