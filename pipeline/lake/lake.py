"""A lake: its fixed configuration, its chains, its manifest. All state is in the files."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.clock import Clock, SystemClock
from pipeline.errors import ChainMoved, LakeError, SpaceMismatch
from pipeline.lake.chain import ChainFollower, Origin, read_origin
from pipeline.lake.config import LakeConfig
from pipeline.lake.documents import file_digest, readable
from pipeline.lake.graveyard import recover
from pipeline.lake.manifest import Manifest, TableFile, check_successor
from pipeline.lake.parquet import LIGHT_ROW_GROUP, LakeFileWriter
from pipeline.lake.paths import LAKE_FILE, MANIFESTS, PARAMETERS, SEGMENTS, TABLES, Chain, manifest_key
from pipeline.lake.rollups import Rollup, read_rollup
from pipeline.lake.segments import Segment, iso, read_segment
from pipeline.lake.snapshot import Snapshot, Tail, list_documents
from pipeline.lake.store import LocalStore, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from pipeline.parameters import Parameters
    from pipeline.spaces import EmbeddingSpace

_T = TypeVar("_T")

DEFAULT_WINDOW_SECONDS = 3600
# A manifest is published a few times an hour and resolving takes milliseconds.
_MOST_ATTEMPTS = 1000


class Lake:
    """An open lake. Cheap to open, safe to share between threads, any number of processes at once.

    Use `create`, `open` or `open_or_create`.
    """

    def __init__(self, store: Store, config: LakeConfig, clock: Clock) -> None:
        self.store = store
        self.config = config
        self.clock = clock
        self.fingerprint = config.fingerprint
        self._parameters: Parameters | None = None
        self._manifest = Manifest()
        self._origins: dict[Chain, Origin] = {}
        self._segments: dict[Chain, ChainFollower[Segment]] = {}
        self._rollups: dict[Chain, ChainFollower[Rollup]] = {}

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        parameters: Parameters,
        space: EmbeddingSpace | None = None,
        window_seconds: int = DEFAULT_WINDOW_SECONDS,
        pseudonym_fingerprint: str | None = None,
        clock: Clock | None = None,
        store: Store | None = None,
    ) -> Lake:
        """Make a lake, or open the one that is there if it is configured the same.

        Raises
        ------
        SpaceMismatch
            The parameters are for another embedding space.
        LakeError
            There is a lake with another configuration.
        """
        if space is not None and space != parameters.space:
            msg = f"the parameters are for {parameters.space}, the lake is to hold {space}"
            raise SpaceMismatch(msg)
        config = LakeConfig(parameters.space, window_seconds, parameters.fingerprint, pseudonym_fingerprint)
        store = store or LocalStore(Path(path))
        key = f"{PARAMETERS}/{config.parameters}.npz"
        if not store.exists(key):
            temporary = store.temporary().with_suffix(".npz")
            parameters.save(temporary)
            store.put_file(temporary, key)
        store.put_bytes(readable(config.to_document()), LAKE_FILE)
        lake = cls.open(path, clock=clock, store=store)
        if lake.config != config:
            msg = f"{path} is a lake with another configuration: {_difference(lake.config, config)}; choose another folder"
            raise LakeError(msg)
        return lake

    @classmethod
    def open(cls, path: Path | str, *, clock: Clock | None = None, store: Store | None = None) -> Lake:
        """Open a lake.

        Raises
        ------
        LakeError
            There is none.
        """
        store = store or LocalStore(Path(path))
        data = store.read_bytes(LAKE_FILE)
        if data is None:
            msg = f"there is no lake in {path} (no {LAKE_FILE}); `distillwatch ingest` and `worker` make one"
            raise LakeError(msg)
        return cls(store, LakeConfig.from_bytes(data, f"{path}/{LAKE_FILE}"), clock or SystemClock())

    @classmethod
    def open_or_create(
        cls,
        path: Path | str,
        *,
        parameters: Parameters,
        space: EmbeddingSpace | None = None,
        window_seconds: int = DEFAULT_WINDOW_SECONDS,
        pseudonym_fingerprint: str | None = None,
        clock: Clock | None = None,
    ) -> Lake:
        """As `create`: a lake that is there is opened if it is configured the same."""
        return cls.create(
            path,
            parameters=parameters,
            space=space,
            window_seconds=window_seconds,
            pseudonym_fingerprint=pseudonym_fingerprint,
            clock=clock,
        )

    @property
    def root(self) -> Path:
        """Folder of the lake."""
        return self.store.root

    @property
    def parameters(self) -> Parameters:
        """The kernel parameters of every profile in here, from the lake's own copy."""
        if self._parameters is None:
            from pipeline.parameters import Parameters

            path = self.store.path(f"{PARAMETERS}/{self.config.parameters}.npz")
            loaded = Parameters.load(path)
            if loaded.fingerprint != self.config.parameters:
                msg = f"{path} has fingerprint {loaded.fingerprint}; restore it from a copy of the lake"
                raise LakeError(msg)
            self._parameters = loaded
        return self._parameters

    # Chains

    def begin(
        self,
        topic_id: str,
        partition: int,
        *,
        topic: str,
        start: int,
        cluster_id: str,
        clock: Clock | None = None,
        replaces: tuple[str, ...] = (),
    ) -> Origin:
        """Declare where a chain begins, once. Later calls change nothing and give what was declared.

        Parameters
        ----------
        start
            First offset that is to be landed: the partition's log start at the first contact.
        replaces
            Topic ids of predecessors under the same name that an operator accepted.
        """
        chain = Chain(topic_id, partition)
        origin = self.origin(topic_id, partition)
        if origin is None:
            now = (clock or self.clock).now()
            wanted = Origin(topic, cluster_id, start, str(iso(now)), replaces)
            self.store.put_bytes(wanted.to_bytes(), chain.origin)
            origin = self.origin(topic_id, partition)
        if origin is None:
            msg = f"{self.store.path(chain.origin)} vanished after it was put; is somebody deleting the lake?"
            raise LakeError(msg)
        return origin

    def origin(self, topic_id: str, partition: int) -> Origin | None:
        """Where a chain began, None if it never did."""
        chain = Chain(topic_id, partition)
        if chain not in self._origins:
            origin = read_origin(self.store, chain)
            if origin is None:
                return None
            self._origins[chain] = origin
        return self._origins[chain]

    def chains(self) -> list[Chain]:
        """Every chain that began, in order of topic id and partition."""
        return [
            Chain(topic_id, int(name))
            for topic_id in self.store.names(SEGMENTS)
            for name in self.store.names(f"{SEGMENTS}/{topic_id}")
            if name.isdigit() and self.origin(topic_id, int(name)) is not None
        ]

    def topic_ids(self, topic: str) -> list[str]:
        """Ids under which a topic (or a file) of this name has landed, the earliest first."""
        found: dict[str, str] = {}
        for chain in self.chains():
            origin = self._origins[chain]
            if origin.topic == topic:
                earlier = found.get(chain.topic_id, origin.declared_at)
                found[chain.topic_id] = min(earlier, origin.declared_at)
        return sorted(found, key=lambda topic_id: (found[topic_id], topic_id))

    def head(self, topic_id: str, partition: int) -> int | None:
        """Next offset to land; None: the chain never began. Read from the lake, never from Kafka."""
        tail = self.tail(Chain(topic_id, partition))
        return None if tail is None else tail.head

    def rollup_head(self, topic_id: str, partition: int) -> int | None:
        """Next offset to roll up; None: the chain never began."""
        tail = self.tail(Chain(topic_id, partition))
        return None if tail is None else tail.rollup_head

    def tail(self, chain: Chain) -> Tail | None:
        """What of a chain lies outside the runs; None: the chain never began."""
        if self.origin(chain.topic_id, chain.partition) is None:
            return None
        return self._settled(lambda manifest: self._tail(chain, manifest))

    def snapshot(self, manifest: Manifest | None = None) -> Snapshot:
        """The lake as it is now; or as it would be with another manifest that is about to be published."""

        def resolve(manifest: Manifest) -> Snapshot:
            tails = {chain.key: self._tail(chain, manifest) for chain in self.chains()}
            return Snapshot(self.store, self.config, manifest, tails)

        return self._settled(resolve) if manifest is None else resolve(manifest)

    def as_of(self, number: int) -> Snapshot:
        """The lake as it was when a manifest was published: what landed later is not in it.

        A manifest of format 1 does not say where the chains ended (`Manifest.ends` is None). As of one of those, its runs
        and tables are as they were; segments that it had not absorbed, live alerts and indicators are as they are today.

        Raises
        ------
        LakeError
            There is no manifest of that number, or the lake no longer has what it named.
        """
        manifest = self.manifest(number)
        gone = next((key for key in sorted(manifest.keys()) if not self.store.exists(key)), None)
        if gone is not None:
            msg = f"manifest {number} can no longer be seen as it was: {self.store.path(gone)} was swept"
            raise LakeError(msg)
        if manifest.ends is None:
            found = self.snapshot(manifest)
            # Absorbed segments go after a while; the chain would then end too early and say nothing.
            for key, head in self.snapshot().vector.items():
                if key not in found.vector or found.vector[key] < head:
                    msg = f"manifest {number} can no longer be seen as it was: segments of {key} were compacted and swept since"
                    raise LakeError(msg)
            return found
        tails = {}
        for key, end in manifest.ends.items():
            chain = Chain.parse(key)
            there = self.origin(chain.topic_id, chain.partition) is not None
            tail = self._tail(chain, manifest).until(end) if there else None
            if tail is None:
                msg = f"manifest {number} can no longer be seen as it was: segments or roll-ups of {key} were compacted and swept since"
                raise LakeError(msg)
            tails[key] = tail
        return Snapshot(self.store, self.config, manifest, tails, manifest.documents)

    def _tail(self, chain: Chain, manifest: Manifest) -> Tail:
        origin = self._origins[chain]
        start = manifest.absorbed.get(chain.key, origin.start)
        segments = self._segments.setdefault(
            chain, ChainFollower(lambda first: read_segment(self.store, chain, first))
        )
        rollups = self._rollups.setdefault(
            chain, ChainFollower(lambda first: read_rollup(self.store, chain, first))
        )
        # Roll-ups first: a roll-up lands after its segments, so these then reach at least as far.
        rolled = rollups.follow(start)
        return Tail(chain, origin, start, segments.follow(start), rolled)

    def _settled(self, resolve: Callable[[Manifest], _T]) -> _T:
        """Resolve against a manifest that is still current afterwards.

        If it moved, the sweep may have removed a link in the middle of the walk, which then ended too
        early: a chain that is merely short looks just like one whose links are gone.
        """
        for _ in range(_MOST_ATTEMPTS):
            manifest = self.manifest()
            found = resolve(manifest)
            if self.manifest().number == manifest.number:
                return found
        msg = f"the manifest of {self.root} moved {_MOST_ATTEMPTS} times while it was read; is something publishing in a loop?"
        raise LakeError(msg)

    # Manifest

    def manifest(self, number: int | None = None) -> Manifest:
        """The current manifest, or an earlier one by its number.

        Raises
        ------
        LakeError
            There is none of that number.
        """
        if number is not None:
            return Manifest() if number == 0 else self._read_manifest(number)
        known = self._manifest
        if known.number == 0:
            names = [name for name in self.store.names(MANIFESTS) if name.endswith(".json")]
            if not names:
                return known
            known = self._read_manifest(int(names[-1].removesuffix(".json")))
        newest = known.number
        while self.store.exists(manifest_key(newest + 1)):
            newest += 1
        if newest != known.number:
            known = self._read_manifest(newest)
        if known.number > self._manifest.number:
            self._manifest = known
        return known

    def _read_manifest(self, number: int) -> Manifest:
        key = manifest_key(number)
        data = self.store.read_bytes(key)
        if data is None:
            msg = f"there is no manifest {number} in {self.root}"
            raise LakeError(msg)
        return Manifest.from_bytes(data, self.store.path(key))

    def publish(self, update: Callable[[Manifest], Manifest], *, again: bool = False) -> Manifest:
        """Publish what ``update`` makes of the current manifest; after a lost race, of the winner's.

        ``update`` may be called several times; it may raise to give up, or return its argument when there is
        nothing (left) to do. With ``again`` that is published too, under the next number.

        Raises
        ------
        ChainMoved
            A file that the update names was swept before it could be published.
        LakeError
            The update would move a chain back.
        """
        writer = uuid.uuid4().hex
        while True:
            current = self.manifest()
            updated = update(current)
            if updated == current and not again:
                return current
            check_successor(current, updated)
            # Looked at for every number that is tried, and once more at the end: see `pipeline.lake.graveyard`.
            added = updated.keys() - current.keys()
            self._require(added)
            number = current.number + 1
            # While the number is free the current manifest is current, and no link of these walks can be swept.
            new = replace(
                updated,
                number=number,
                writer=writer,
                created_at=str(iso(self.clock.now())),
                ends={key: tail.end() for key, tail in self.snapshot(updated).tails.items()},
                documents=list_documents(self.store),
            )
            if not self.store.put_bytes(new.to_bytes(), manifest_key(number)):
                winner = self._read_manifest(number)
                if winner.writer != writer:
                    continue
            self._manifest = new
            for key in added:
                recover(self.store, key)
            return new

    def _require(self, keys: Iterable[str]) -> None:
        """See to it that files which a manifest names lie under their names."""
        for key in keys:
            if not recover(self.store, key):
                msg = f"{self.store.path(key)} was swept before it was published; do the same again"
                raise ChainMoved(msg)

    def put_table(self, name: str, table: pa.Table) -> TableFile:
        """Write one file of a result table; it is live once a manifest names it.

        Equal rows give the same name, so writing them again adds nothing.
        """
        while True:
            temporary = self.store.temporary()
            with LakeFileWriter(temporary, table.schema, row_group=LIGHT_ROW_GROUP) as writer:
                writer.write(table)
                writer.close({"table": name, "lake_fingerprint": self.fingerprint})
            content = file_digest(temporary)
            size = temporary.stat().st_size
            key = f"{TABLES}/{name}/{content[:32]}.parquet"
            if not self.store.put_file(temporary, key):
                try:
                    self.store.touch(key)
                except FileNotFoundError:
                    continue  # swept between the two: write it anew
            return TableFile(path=key, rows=table.num_rows, bytes=size, digest=content)


def _difference(found: LakeConfig, wanted: LakeConfig) -> str:
    there, asked = found.to_document(), wanted.to_document()
    return "; ".join(f"{k} is {there[k]!r}, not {asked[k]!r}" for k in there if there[k] != asked[k])
