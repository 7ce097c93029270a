"""The Kafka side of `verify`: what the log holds against what the lake landed, offset by offset and byte by byte.

Every message from where the chain and the log both begin up to the chain's head is read again, decoded by the same
decoder, and compared with the landed rows of the same positions: a position that only Kafka has is lost, one that only
the lake has was invented, one that stands twice was landed twice, and equal positions must hold equal records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.kafka import client
from pipeline.lake.coverage import Finding
from pipeline.records.schema import (
    KIND_FORGOTTEN,
    KIND_RECORD,
    KIND_REJECTED,
    POSITION_FIELDS,
    segment_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from pipeline.lake import Snapshot
    from pipeline.lake.snapshot import Tail
    from pipeline.records.decode import RecordDecoder
    from pipeline.records.schema import Decoded

Positions: TypeAlias = "npt.NDArray[np.void]"

CHUNK_OFFSETS = 131_072
_POSITION = np.dtype([("offset", np.int64), ("row", np.int32)])
_NAMED = 20  # differences of one kind that are spelled out per chunk; the rest is counted


@dataclass(slots=True)
class LogAudit:
    """Figures of one partition's comparison."""

    topic: str
    partition: int
    compared: int = 0
    rejected: int = 0
    forgotten: int = 0
    lost: int = 0
    invented: int = 0
    twice: int = 0
    different: int = 0
    expired: int = 0
    not_yet_landed: int = 0


def audit_chain(
    snapshot: Snapshot,
    tail: Tail,
    decoder: RecordDecoder,
    bootstrap_servers: str,
    log_range: tuple[int, int],
    *,
    contents: bool = True,
    security: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LogAudit, list[Finding]]:
    """Compare one partition.

    Parameters
    ----------
    tail
        The chain, from ``snapshot.tails``.
    decoder
        With the limits, the bound on event times and the pseudonym key that the records were landed with.
    log_range
        First offset that Kafka still has, and the one after its last.
    contents
        Compare what the records say, not only that they are there. Needs the pseudonym key, if one was used.

    Returns
    -------
    LogAudit, list[Finding]
        Figures, and each difference by name.
    """
    chain, topic = tail.chain, tail.origin.topic
    audit = LogAudit(topic, chain.partition)
    start, end = log_range
    first = max(tail.origin.start, start)
    audit.expired = max(0, min(start, tail.head) - tail.origin.start)
    audit.not_yet_landed = max(0, end - max(tail.head, first))
    lost_ranges = [pair for segment in tail.segments for pair in segment.lost]
    comparison = _Comparison(chain.key, audit, lost_ranges, contents=contents)
    for low, fetched in _chunks(bootstrap_servers, topic, chain.partition, first, tail.head, security):
        high = min(tail.head, low + CHUNK_OFFSETS)
        decoded = decoder.decode_messages(
            [record.value for record in fetched],
            topic_id=chain.topic_id,
            topic=topic,
            partition=chain.partition,
            offsets=np.fromiter((record.offset for record in fetched), np.int64, len(fetched)),
            append_times=np.fromiter((record.timestamp for record in fetched), np.int64, len(fetched)),
        )
        landed = _landed(snapshot, tail, low, high)
        comparison.compare(decoded, landed)
        if progress is not None:
            progress(high - first, tail.head - first)
    return audit, comparison.findings


def _chunks(
    bootstrap_servers: str,
    topic: str,
    partition: int,
    first: int,
    stop: int,
    security: Mapping[str, Any] | None,
) -> Iterator[tuple[int, list[Any]]]:
    """Messages in ranges ``[low, low + CHUNK_OFFSETS)`` that join; a range without messages comes too."""
    low, held = first, list[Any]()
    for fetched in client.read_range(bootstrap_servers, topic, partition, first, stop, security=security):
        held.extend(fetched)
        while held and held[-1].offset >= low + CHUNK_OFFSETS:
            cut = next(i for i, record in enumerate(held) if record.offset >= low + CHUNK_OFFSETS)
            yield low, held[:cut]
            held, low = held[cut:], low + CHUNK_OFFSETS
    while low < stop:
        yield low, held
        held, low = [], low + CHUNK_OFFSETS


def _landed(snapshot: Snapshot, tail: Tail, low: int, high: int) -> pa.Table:
    """Landed rows of one chain with ``low <= offset < high``, wherever they lie."""
    files = [
        snapshot.store.path(s.key) for s in tail.segments if s.first_offset < high and s.next_offset > low
    ]
    if low < tail.start:
        # A run keeps rows by date, not by chain: all of its files may hold some.
        files += [
            p
            for p in (*snapshot.record_files(), *snapshot.dead_letter_files())
            if p not in set(snapshot.segment_files())
        ]
    wanted = (
        (ds.field("topic_id") == tail.chain.topic_id)
        & (ds.field("partition") == tail.chain.partition)
        & (ds.field("offset") >= low)
        & (ds.field("offset") < high)
    )
    schema = segment_schema(snapshot.config.space)
    pieces = [
        ds.dataset(path, schema=schema, format="parquet").to_table(filter=wanted)
        for path in dict.fromkeys(files)
    ]
    return pa.concat_tables([schema.empty_table(), *pieces])


class _Comparison:
    """Holds the rows of one chain against its messages, chunk by chunk."""

    def __init__(
        self, chain_key: str, audit: LogAudit, accepted: list[tuple[int, int, str]], *, contents: bool
    ) -> None:
        self.audit = audit
        self.findings: list[Finding] = []
        self._chain = chain_key
        self._accepted = accepted
        self._contents = contents

    def compare(self, decoded: Decoded, landed: pa.Table) -> None:
        """One chunk: what the log decodes to, and what was landed of the same offsets."""
        audit = self.audit
        in_log = np.concatenate([_positions(decoded.records), _positions(decoded.rejected)])
        in_lake, counts = np.unique(_positions(landed), return_counts=True)
        forgotten = _positions(landed.filter(pc.equal(landed.column("kind"), KIND_FORGOTTEN)))
        twice = in_lake[counts > 1]
        lost = np.setdiff1d(in_log, in_lake)
        lost = lost[~_within(lost, self._accepted)]
        invented = np.setdiff1d(in_lake, in_log)
        audit.lost += len(lost)
        audit.twice += len(twice)
        audit.invented += len(invented)
        audit.forgotten += len(forgotten)
        self._name("lost", lost, "landed once", "in Kafka only")
        self._name("twice", twice, "landed once", "landed twice")
        self._name("invented", invented, "a message in Kafka", "in the lake only")
        for kind, rows in ((KIND_RECORD, decoded.records), (KIND_REJECTED, decoded.rejected)):
            mine = landed.filter(pc.equal(landed.column("kind"), kind))
            both, left, right = np.intersect1d(_positions(rows), _positions(mine), return_indices=True)
            if kind == KIND_RECORD:
                audit.compared += len(both)
            else:
                audit.rejected += len(both)
            other = np.setdiff1d(np.setdiff1d(np.intersect1d(_positions(rows), in_lake), both), forgotten)
            audit.different += len(other)
            self._name("other_kind", other, f"decodes as {kind}", "landed as another kind")
            if self._contents and len(both):
                self._values(kind, both, rows.take(pa.array(left)), mine.take(pa.array(right)))

    def _values(self, kind: str, positions: Positions, theirs: pa.Table, ours: pa.Table) -> None:
        names = (
            ("reason", "raw", "raw_bytes")
            if kind == KIND_REJECTED
            else theirs.schema.names[len(POSITION_FIELDS) :]
        )
        unequal = np.zeros(len(positions), bool)
        fields: list[str] = []
        for name in names:
            a = theirs.column(name).combine_chunks()
            b = ours.column(name).combine_chunks()
            if a.equals(b):
                continue
            # Not pc.equal alone: null = null is null there, and NaN is no value of a record.
            same = pc.fill_null(pc.equal(a, b), False)
            both_null = pc.and_(a.is_null(), b.is_null())
            differs = ~np.asarray(pc.or_(same, both_null))
            if differs.any():
                unequal |= differs
                fields.append(name)
        self.audit.different += int(unequal.sum())
        self._name(
            "other_values", positions[unequal], "the values in Kafka", f"others in {', '.join(fields)}"
        )

    def _name(self, check: str, positions: Positions, expected: str, found: str) -> None:
        for position in positions[:_NAMED]:
            where = f"offset {position['offset']}, record {position['row']}"
            self.findings.append(Finding("error", check, self._chain, where, expected, found))
        if len(positions) > _NAMED:
            rest = f"{len(positions) - _NAMED} more positions"
            self.findings.append(Finding("error", check, self._chain, rest, expected, found))


def _positions(table: pa.Table) -> Positions:
    found = np.empty(table.num_rows, _POSITION)
    found["offset"] = table.column("offset").to_numpy()
    found["row"] = table.column("row").to_numpy()
    return found


def _within(positions: Positions, ranges: list[tuple[int, int, str]]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(positions), bool)
    for low, high, _ in ranges:
        inside |= (positions["offset"] >= low) & (positions["offset"] <= high)
    return inside
