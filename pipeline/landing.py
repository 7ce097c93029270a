"""Landing one partition: records collect, become segments, and segments become roll-ups.

Nothing here knows Faust or Kafka. The caller hands over decoded records with the offset range they cover;
this class keeps the chain joined and publishes. Whoever reads a file instead of a partition does the same.
"""

from __future__ import annotations

import socket
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ChainMoved, ForeignTopic, LakeError, LostRecords
from pipeline.lake.documents import file_digest
from pipeline.lake.paths import Chain
from pipeline.lake.profile_files import MIN_RECORDS, ProfileFilesWriter
from pipeline.lake.rollups import Rollup, read_rollup
from pipeline.lake.rowgroups import merge_by_account
from pipeline.lake.segments import (
    Segment,
    code_fingerprint,
    describe_segment,
    iso,
    put_segment,
    read_segment,
    segment_table,
)
from pipeline.records.schema import REJECTED_SCHEMA, Decoded, record_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.engine import Engine
    from pipeline.lake.lake import Lake
    from pipeline.lake.snapshot import Tail

_BLOCK_RECORDS = 65_536


@dataclass(frozen=True, slots=True)
class LandingSettings:
    """When a segment is published and when windows are rolled up.

    Parameters
    ----------
    segment_records, segment_bytes, segment_seconds
        A segment is due when it holds so many records, so many bytes in memory, or is so old. Shorter
        times make more files: 10 s over 64 partitions would be 550,000 a day.
    roll_up_records, roll_up_seconds
        A roll-up is due when so many landed records are not in one, or the oldest of them is so old.
        The first also bounds a roll-up's memory.
    max_future_seconds
        The bound on event times that the decoder applied; stored in every segment.
    accept_recreated_topic
        Begin a new chain although another topic of the same name has landed before.
    """

    segment_records: int = 65_536
    segment_bytes: int = 16 << 20
    segment_seconds: float = 60.0
    roll_up_records: int = 262_144
    roll_up_seconds: float = 300.0
    max_future_seconds: int | None = None
    accept_recreated_topic: bool = False


class PartitionLander:
    """Lands one partition (or file) from its chain's head on.

    Not thread-safe: one owner, one thread at a time. Any number of landers, in any number of processes,
    may believe they own the same chain; exactly one wins each name.

    Parameters
    ----------
    topic, topic_id, partition, cluster_id
        The source. The chain is (topic id, partition); the others are recorded.
    """

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        *,
        topic: str,
        topic_id: str,
        partition: int,
        cluster_id: str,
        settings: LandingSettings,
        clock: Clock,
    ) -> None:
        self.chain = Chain(topic_id, partition)
        self.topic = topic
        self.cluster_id = cluster_id
        self.settings = settings
        self.writer = f"{socket.gethostname()[:32]}-{uuid.uuid4().hex}"
        self._lake = lake
        self._engine = engine
        self._clock = clock
        self._head: int | None = None
        self._next = 0
        self._forget_held()
        self._loose_records = 0
        self._loose_since: float | None = None
        self.reload()

    # Where it stands

    @property
    def head(self) -> int | None:
        """Next offset to land; everything below is durable. None: the chain never began."""
        return self._head

    @property
    def next_offset(self) -> int:
        """Next offset to be handed over: the head plus what is held.

        Raises
        ------
        LakeError
            The chain never began.
        """
        if self._head is None:
            msg = f"{self._name} has no beginning in this lake yet; call check(log_start, topic_id) or lake.begin first"
            raise LakeError(msg)
        return self._next

    @property
    def held_records(self) -> int:
        """Records accepted and not landed."""
        return self._held_records

    @property
    def _name(self) -> str:
        return self.topic if self.chain.is_file else f"topic {self.topic}, partition {self.chain.partition}"

    def held_table(self) -> pa.Table:
        """The records accepted and not landed, in order of arrival."""
        schema = record_schema(self._lake.config.space)
        return pa.concat_tables([schema.empty_table(), *(held.records for held in self._held)])

    def reload(self) -> int | None:
        """Drop what is held and read the head again; the caller goes on from `next_offset`."""
        self._forget_held()
        tail = self._lake.tail(self.chain)
        self._head = None if tail is None else tail.head
        self._next = 0 if tail is None else tail.head
        self._note_loose(tail)
        return self._head

    def _forget_held(self) -> None:
        self._held: list[Decoded] = []
        self._held_records = 0
        self._held_rows = 0
        self._held_bytes = 0
        self._held_since: float | None = None
        self._append_time: datetime | None = None

    def _note_loose(self, tail: Tail | None) -> None:
        self._loose_records = sum(segment.records for segment in tail.loose()) if tail else 0
        has_loose = tail is not None and tail.rollup_head < tail.head
        if not has_loose:
            self._loose_since = None
        elif self._loose_since is None:
            self._loose_since = self._clock.monotonic()

    # Losses that look like gaps

    def check(self, log_start: int, topic_id: str) -> None:
        """Compare the chain with the log, on assignment and before each put; at first contact, begin it.

        Parameters
        ----------
        log_start
            The partition's first offset that Kafka still has.
        topic_id
            The id of the topic that has this name now.

        Raises
        ------
        LostRecords
            Kafka no longer has offsets that are neither landed nor held.
        ForeignTopic
            The topic was recreated: its offsets have nothing to do with those landed under this name.
        """
        if topic_id != self.chain.topic_id:
            msg = (
                f"{self._name}: the topic has id {topic_id} now, this worker lands id {self.chain.topic_id}: it was "
                "deleted and recreated. Restart the worker; it then says how to accept the new topic"
            )
            raise ForeignTopic(msg)
        if self._head is None:
            self._begin(log_start)
        if log_start > self._next:
            msg = (
                f"{self._name}: offsets {self._next} to {log_start - 1} are gone from Kafka and were never landed "
                f"(log start {log_start}, chain head {self._head}). Raise the topic's retention; to go on without "
                f"them, declare the loss with `distillwatch declare-lost --topic {self.topic} --partition "
                f"{self.chain.partition} --next-offset {log_start} …` (see its --help), which `verify` will report"
            )
            raise LostRecords(msg)

    def _begin(self, log_start: int) -> None:
        others: tuple[str, ...] = ()
        if not self.chain.is_file:
            others = tuple(
                other
                for other in self._lake.topic_ids(self.topic)
                if other != self.chain.topic_id and not other.startswith("file-")
            )
        if not set(others) <= self._accepted_predecessors() and not self.settings.accept_recreated_topic:
            msg = (
                f"{self._name}: this lake holds records of a topic {self.topic} with id {others[-1]}, Kafka's has "
                f"id {self.chain.topic_id}: it was recreated, or this is another cluster. To land it beside the "
                "old one set accept_recreated_topic; otherwise use another lake"
            )
            raise ForeignTopic(msg)
        self._lake.begin(
            self.chain.topic_id,
            self.chain.partition,
            topic=self.topic,
            start=log_start,
            cluster_id=self.cluster_id,
            clock=self._clock,
            replaces=others,
        )
        self.reload()

    def _accepted_predecessors(self) -> set[str]:
        """What was accepted when another partition of this topic began."""
        siblings = (chain for chain in self._lake.chains() if chain.topic_id == self.chain.topic_id)
        origins = (self._lake.origin(chain.topic_id, chain.partition) for chain in siblings)
        return {other for origin in origins if origin is not None for other in origin.replaces}

    # Records in

    def accept(
        self,
        decoded: Decoded,
        first_offset: int,
        next_offset: int,
        *,
        last_append_time: datetime | None = None,
    ) -> int:
        """Take the records of offsets ``first_offset`` to ``next_offset - 1``; the range may hold gaps.

        A segment that is full is published *before* the new records are taken: if that fails, they have not
        been taken and the same call can be made again. Records below `next_offset`, which a re-read
        brings a second time, are left out.

        Returns
        -------
        int
            Rows taken, rejected ones included.

        Raises
        ------
        LostRecords
            The range begins after `next_offset`: something in between was never handed over.
        ChainMoved
            Publishing the full segment lost to another writer.
        LakeError
            A record lies outside the range or belongs to another chain.
        """
        expected = self.next_offset
        if first_offset > expected:
            msg = (
                f"{self._name}: offsets {expected} to {first_offset - 1} were never handed over (the batch begins at "
                f"{first_offset}); read again from {expected}"
            )
            raise LostRecords(msg)
        self._check_range(decoded.records, first_offset, next_offset)
        self._check_range(decoded.rejected, first_offset, next_offset)
        if next_offset <= expected:
            return 0
        if self._full():
            self.land()
        rows = self._hold(decoded, expected)
        if last_append_time is not None and (
            self._append_time is None or last_append_time > self._append_time
        ):
            self._append_time = last_append_time
        self._next = next_offset
        return rows

    def _hold(self, decoded: Decoded, floor: int) -> int:
        """Keep the rows from an offset on."""
        records, rejected = (
            table.filter(pc.greater_equal(table.column("offset"), floor))
            if table.num_rows and pc.min(table.column("offset")).as_py() < floor
            else table
            for table in (decoded.records, decoded.rejected)
        )
        rows = int(records.num_rows + rejected.num_rows)
        if rows:
            self._held.append(Decoded(records, rejected, {}))
        self._held_records += records.num_rows
        self._held_rows += rows
        self._held_bytes += records.nbytes + rejected.nbytes
        if self._held_since is None:
            self._held_since = self._clock.monotonic()
        return rows

    def _check_range(self, table: pa.Table, first_offset: int, next_offset: int) -> None:
        if not table.num_rows:
            return
        offsets = pc.min_max(table.column("offset"))
        low, high = offsets["min"].as_py(), offsets["max"].as_py()
        if low < first_offset or high >= next_offset:
            msg = f"{self._name}: a batch of offsets {first_offset} to {next_offset - 1} holds offsets {low} to {high}"
            raise LakeError(msg)
        for name, own in (("topic_id", self.chain.topic_id), ("partition", self.chain.partition)):
            found = pc.min_max(table.column(name))
            if (found["min"].as_py(), found["max"].as_py()) != (own, own):
                msg = f"{self._name}: the batch holds records of {name} {found['max']}, this chain has {own}"
                raise LakeError(msg)

    def _full(self) -> bool:
        return (
            self._held_rows >= self.settings.segment_records
            or self._held_bytes >= self.settings.segment_bytes
        )

    def due(self) -> str | None:
        """Why a segment should be landed now: ``records``, ``bytes``, ``age``; None: it need not."""
        if self._held_rows >= self.settings.segment_records:
            return "records"
        if self._held_bytes >= self.settings.segment_bytes:
            return "bytes"
        if self._held_since is not None:
            held_for = self._clock.monotonic() - self._held_since
            if held_for >= self.settings.segment_seconds:
                return "age"
        return None

    # Segments out

    def land(self) -> Segment | None:
        """Publish what is held as one segment; None when nothing is.

        A range without rows (markers of transactions only) is landed too: the head then passes it, and its
        removal from the log is not taken for a loss.

        Raises
        ------
        ChainMoved
            Another writer landed this range, or it is already absorbed. What was held is dropped and the head
            read again: go on from `next_offset`.
        """
        if self._head is None or self._next == self._head:
            return None
        table = segment_table(
            self.held_table(),
            pa.concat_tables([REJECTED_SCHEMA.empty_table(), *(held.rejected for held in self._held)]),
            self._lake.config.space,
        )
        segment = describe_segment(
            table,
            self.chain,
            topic=self.topic,
            cluster_id=self.cluster_id,
            first_offset=self._head,
            last_offset=self._next - 1,
            lake_fingerprint=self._lake.fingerprint,
            parameters=self._lake.config.parameters,
            writer=self.writer,
            created_at=self._clock.now(),
            last_append_time=self._append_time,
            max_future_seconds=self.settings.max_future_seconds,
        )
        won = put_segment(self._lake.store, table, segment)
        if not won:
            there = read_segment(self._lake.store, self.chain, segment.first_offset)
            if there is None or there.writer != self.writer or there.last_offset > segment.last_offset:
                self.reload()
                msg = f"{self._name}: another writer landed from offset {segment.first_offset}; the head is now {self._head}"
                raise ChainMoved(msg)
            # An earlier put of ours had succeeded although it reported a failure.
            segment = there
        absorbed = self._lake.manifest().absorbed.get(self.chain.key, segment.first_offset)
        if absorbed > segment.first_offset:
            # The name was free because compaction had absorbed and the sweep removed what bore it.
            if won:
                self._lake.store.delete(segment.key)
            self.reload()
            msg = (
                f"{self._name}: offset {segment.first_offset} was landed and compacted by another writer long ago; "
                f"the head is now {self._head}"
            )
            raise ChainMoved(msg)
        self._advance(segment)
        return segment

    def _advance(self, segment: Segment) -> None:
        held, after = self._held, self._next
        self._forget_held()
        self._head = self._next = segment.next_offset
        self._loose_records += segment.records
        if self._loose_since is None:
            self._loose_since = self._clock.monotonic()
        if after > self._head:
            # An earlier, shorter put of ours turned out to be the winner: the rest is still to be landed.
            for decoded in held:
                self._hold(decoded, self._head)
            self._next = after

    # Roll-ups

    def roll_up_due(self) -> str | None:
        """Why windows should be rolled up now: ``records``, ``age``; None: they need not."""
        if self._loose_records >= self.settings.roll_up_records:
            return "records"
        if self._loose_since is not None:
            loose_for = self._clock.monotonic() - self._loose_since
            if loose_for >= self.settings.roll_up_seconds:
                return "age"
        return None

    def roll_up(self) -> Rollup | None:
        """Land the windows of every segment that has none yet; the last roll-up, None when there was nothing.

        The segments are read back, so this is also all that recovery has to do. A long backlog becomes several
        roll-ups, each of bounded size.

        Raises
        ------
        ChainMoved
            Another writer rolled up from the same offset. The chain of records is not affected: landing goes on.
        """
        done = None
        while (tail := self._lake.tail(self.chain)) is not None and tail.rollup_head < tail.head:
            done = self._roll_up_once(tail, self._next_segments(tail))
        self._note_loose(tail)
        return done

    def _next_segments(self, tail: Tail) -> Sequence[Segment]:
        chosen: list[Segment] = []
        records = 0
        for segment in tail.loose():
            if chosen and records + segment.records > self.settings.roll_up_records:
                break
            chosen.append(segment)
            records += segment.records
        return chosen

    def _roll_up_once(self, tail: Tail, segments: Sequence[Segment]) -> Rollup:
        lake, store = self._lake, self._lake.store
        first, last = segments[0].first_offset, segments[-1].last_offset
        writer = ProfileFilesWriter(store, self._engine.parameters)
        heavy = self.chain.heavy(first, uuid.uuid4().hex)
        try:
            self._profile(segments, writer)
            writer.close_heavy({"half": "profiles", "rollup": self.chain.rollup(first)})
            rollup = Rollup(
                chain=self.chain,
                topic=self.topic,
                first_offset=first,
                last_offset=last,
                segments=len(segments),
                records=sum(segment.records for segment in segments),
                windows=writer.windows,
                heavy=heavy,
                heavy_rows=writer.heavy_rows,
                heavy_digest=file_digest(writer.heavy),
                profiles_digest=writer.profiles_digest(),
                lake_fingerprint=lake.fingerprint,
                parameters=lake.config.parameters,
                window_seconds=lake.config.window_seconds,
                code=code_fingerprint(),
                writer=self.writer,
                created_at=str(iso(self._clock.now())),
            )
            writer.close_light(rollup.to_document())
            store.put_file(writer.heavy, heavy)
        except BaseException:
            writer.abort()
            raise
        won = store.put_file(writer.light, rollup.key)
        if not won:
            there = read_rollup(store, self.chain, first)
            if there is not None and there.heavy == heavy:
                won = True
        if not won:
            store.delete(heavy)
            self._note_loose(lake.tail(self.chain))
            msg = f"{self._name}: another writer rolled up from offset {first}"
            raise ChainMoved(msg)
        if lake.manifest().absorbed.get(self.chain.key, tail.start) > first:
            store.delete(rollup.key)
            store.delete(heavy)
            self._note_loose(lake.tail(self.chain))
            msg = f"{self._name}: offset {first} was rolled up and compacted by another writer"
            raise ChainMoved(msg)
        return rollup

    def _profile(self, segments: Sequence[Segment], writer: ProfileFilesWriter) -> None:
        from pipeline.engine import ENGINE_COLUMNS

        paths = [self._lake.store.path(segment.key) for segment in segments]
        try:
            for block in merge_by_account(paths, ENGINE_COLUMNS, rows=_BLOCK_RECORDS):
                # Rows of one file are in order as they are.
                ordered = block if len(paths) == 1 else block.sort_by("account_id")
                for profiles in self._engine.profile_blocks(ordered, heavy_from=MIN_RECORDS):
                    writer.write(profiles)
        except LakeError as error:
            tail = self._lake.tail(self.chain)
            if tail is not None and tail.start > segments[0].first_offset:
                # Compacted and swept while we read.
                msg = f"{self._name}: offset {segments[0].first_offset} was compacted by another writer"
                raise ChainMoved(msg) from error
            raise

    def close(self, land: bool = True) -> None:
        """Stop: land what is held and roll it up, or drop it (it will be read again).

        Raises
        ------
        ChainMoved
            Another writer owns the chain; what was held is dropped.
        """
        if not land:
            self._forget_held()
            self._next = self._head or 0
            return
        self.land()
        self.roll_up()
