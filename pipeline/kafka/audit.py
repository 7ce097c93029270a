"""The Kafka side of `verify`: what the log holds against what the lake landed, offset by offset and byte by byte.

Every message from where the chain and the log both begin up to the chain's head is read again, decoded by the same
decoder, and compared with the landed rows of the same positions: a position that only Kafka has is lost, one that only
the lake has was invented, one that stands twice was landed twice, and equal positions must hold equal records. Offsets
that Kafka deleted before they were landed are lost as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.errors import LostRecords
from pipeline.kafka import client
from pipeline.lake.coverage import Finding
from pipeline.records.ipc_headers import claimed_rows
from pipeline.records.schema import (
    KIND_FORGOTTEN,
    KIND_RECORD,
    KIND_REJECTED,
    POSITION_FIELDS,
    REJECTED_SCHEMA,
    Decoded,
    record_schema,
    segment_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from pipeline.lake import Snapshot
    from pipeline.lake.paths import Chain
    from pipeline.lake.snapshot import Tail
    from pipeline.records.decode import RecordDecoder

Positions: TypeAlias = "npt.NDArray[np.void]"

# Held at a time: decoded records of so many offsets or bytes, and messages of so many bytes, or of so many rows, which
# a small Arrow message may unfold to.
CHUNK_OFFSETS = 131_072
CHUNK_BYTES = 128 << 20
PIECE_BYTES = 8 << 20
PIECE_ROWS = 16_384
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
    not_in_log: int = 0
    expired: int = 0
    not_yet_landed: int = 0


def audit_chain(
    snapshot: Snapshot,
    tail: Tail,
    decoder: RecordDecoder,
    bootstrap_servers: str,
    log_range: Callable[[], tuple[int, int]],
    *,
    head: Callable[[], int],
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
        Gives the first offset that Kafka still has, and the one after its last. Asked before reading, and again
        whenever retention has removed what was about to be read.
    head
        Gives the chain's head as it is now; a worker may land while this runs.
    contents
        Compare what the records say, not only that they are there. Needs the pseudonym key, if one was used.

    Returns
    -------
    LogAudit, list[Finding]
        Figures, and each difference by name.

    Raises
    ------
    LostRecords
        Kafka refuses offsets that it says it has.
    """
    chain, topic = tail.chain, tail.origin.topic
    audit = LogAudit(topic, chain.partition)
    begin, stop = tail.origin.start, tail.head
    comparison = _Comparison(chain.key, audit, _declared_lost(snapshot, tail), contents=contents)
    start, end = log_range()
    audit.not_yet_landed = max(0, end - max(stop, start))
    if stop > end:
        audit.not_in_log = stop - end
        comparison.find("truncated", f"topic {topic}", f"a log up to {stop}", f"ends at {end}")
        return audit, comparison.findings
    at = begin
    while True:
        # Retention goes on while this reads; what was landed may go.
        after = min(max(at, start), stop)
        audit.expired += after - at
        at = after
        try:
            for low, high, decoded in _decoded(bootstrap_servers, tail, at, stop, decoder, security):
                comparison.compare(decoded, _landed(snapshot, tail, low, high))
                at = high
                if progress is not None:
                    progress(at - begin, stop - begin)
            break
        except LostRecords:
            start, _ = log_range()
            if start <= at:
                raise
    if start > stop and (landed := head()) < start:
        audit.lost += start - landed
        comparison.find(
            "never_landed",
            f"offsets {landed} to {start - 1}",
            "landed before Kafka deletes them",
            f"not landed, and Kafka's log starts at {start}: raise the topic's retention, and say that they are lost "
            "with `distillwatch declare-lost`",
        )
    return audit, comparison.findings


def not_begun(topic: str, chain: Chain, log_range: tuple[int, int]) -> tuple[LogAudit, list[Finding]]:
    """The same figures of a partition of which nothing was ever landed."""
    start, end = log_range
    audit = LogAudit(topic, chain.partition, lost=start, not_yet_landed=end - start)
    if not start:
        return audit, []
    found = f"nothing of this partition was landed, and Kafka's log starts at {start}: run a worker on it"
    expected = "landed before Kafka deletes them"
    return audit, [Finding("error", "never_landed", chain.key, f"offsets 0 to {start - 1}", expected, found)]


def _declared_lost(snapshot: Snapshot, tail: Tail) -> list[tuple[int, int, str]]:
    """Ranges of a chain that a person declared lost, absorbed or not."""
    absorbed = [lost for span in snapshot.manifest.spans.get(tail.chain.key, ()) for lost in span.lost]
    return absorbed + [lost for segment in tail.segments for lost in segment.lost]


def _decoded(
    bootstrap_servers: str,
    tail: Tail,
    first: int,
    stop: int,
    decoder: RecordDecoder,
    security: Mapping[str, Any] | None,
) -> Iterator[tuple[int, int, Decoded]]:
    """Records in ranges ``[low, high)`` that join, of bounded size; a range without messages comes too."""
    chain, topic = tail.chain, tail.origin.topic
    low, size = first, 0
    held: list[Decoded] = []
    for fetched in client.read_range(
        bootstrap_servers, topic, chain.partition, first, stop, security=security
    ):
        for piece in _pieces(fetched):
            decoded = decoder.decode_messages(
                [record.value for record in piece],
                topic_id=chain.topic_id,
                topic=topic,
                partition=chain.partition,
                offsets=np.fromiter((record.offset for record in piece), np.int64, len(piece)),
                append_times=np.fromiter((record.timestamp for record in piece), np.int64, len(piece)),
            )
            held.append(decoded)
            size += decoded.records.nbytes + decoded.rejected.nbytes
            high = piece[-1].offset + 1
            if size >= CHUNK_BYTES or high - low >= CHUNK_OFFSETS:
                yield low, high, _joined(held, decoder)
                held, low, size = [], high, 0
    if low < stop:
        yield low, stop, _joined(held, decoder)


def _pieces(fetched: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """A fetch in parts of at most `PIECE_BYTES` and `PIECE_ROWS`, or of one message: what is decoded at a time."""
    begin, size, rows = 0, 0, 0
    for i, record in enumerate(fetched):
        value = record.value or b""
        more = max(1, claimed_rows(value))
        if i > begin and (size + len(value) > PIECE_BYTES or rows + more > PIECE_ROWS):
            yield fetched[begin:i]
            begin, size, rows = i, 0, 0
        size += len(value)
        rows += more
    yield fetched[begin:]


def _joined(parts: Sequence[Decoded], decoder: RecordDecoder) -> Decoded:
    records = [record_schema(decoder.space).empty_table(), *(part.records for part in parts)]
    rejected = [REJECTED_SCHEMA.empty_table(), *(part.rejected for part in parts)]
    return Decoded(pa.concat_tables(records), pa.concat_tables(rejected), {})


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
        self, chain_key: str, audit: LogAudit, declared: list[tuple[int, int, str]], *, contents: bool
    ) -> None:
        self.audit = audit
        self.findings: list[Finding] = []
        self._chain = chain_key
        self._declared = declared
        self._contents = contents

    def compare(self, decoded: Decoded, landed: pa.Table) -> None:
        """One chunk: what the log decodes to, and what was landed of the same offsets."""
        audit = self.audit
        in_log = np.concatenate([_positions(decoded.records), _positions(decoded.rejected)])
        in_lake, counts = np.unique(_positions(landed), return_counts=True)
        forgotten = _positions(landed.filter(pc.equal(landed.column("kind"), KIND_FORGOTTEN)))
        twice = in_lake[counts > 1]
        lost = np.setdiff1d(in_log, in_lake)
        spared = _within(lost, self._declared)
        invented = np.setdiff1d(in_lake, in_log)
        audit.lost += len(lost)
        audit.twice += len(twice)
        audit.invented += len(invented)
        audit.forgotten += len(forgotten)
        self._name("lost", lost[~spared], "landed once", "in Kafka only")
        # A declaration is no reason to leave out what is still there.
        self._name(
            "not_lost", lost[spared], "no longer in Kafka, as was declared", "in Kafka, and not landed"
        )
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
            self.find(check, where, expected, found)
        if len(positions) > _NAMED:
            self.find(check, f"{len(positions) - _NAMED} more positions", expected, found)

    def find(self, check: str, where: str, expected: str, found: str) -> None:
        """Note an error."""
        self.findings.append(Finding("error", check, self._chain, where, expected, found))


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
