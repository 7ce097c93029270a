"""A segment: the records of one contiguous offset range of one chain, in one file. One file is one commit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

import pipeline
from pipeline.errors import LakeError
from pipeline.lake.described import chain_and_rest, footer_if_there, to_document
from pipeline.lake.ordering import (
    contents_digest,
    position_pairs,
    positions_digest,
    sort_positions,
    sort_records,
)
from pipeline.lake.parquet import RECORDS_ROW_GROUP, LakeFileWriter
from pipeline.records.schema import KIND_FORGOTTEN, KIND_RECORD, KIND_REJECTED, segment_schema

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.lake.paths import Chain
    from pipeline.lake.store import Store
    from pipeline.spaces import EmbeddingSpace

SEGMENT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Segment:
    """What a segment says of itself.

    ``first_offset`` to ``last_offset`` is the range it covers, gaps of the log included, so the next segment
    begins at ``last_offset + 1``. ``lost`` names ranges inside it that the log no longer had and that a
    person accepted as lost.
    """

    chain: Chain
    topic: str
    cluster_id: str
    first_offset: int
    last_offset: int
    records: int
    rejected: int
    forgotten: int
    positions_digest: str
    contents_digest: str
    lake_fingerprint: str
    parameters: str
    code: str
    writer: str
    created_at: str
    min_event_time: str | None = None
    max_event_time: str | None = None
    last_append_time: str | None = None
    max_future_seconds: int | None = None
    lost: tuple[tuple[int, int, str], ...] = field(default=())
    format: int = SEGMENT_FORMAT

    @property
    def next_offset(self) -> int:
        """Where the chain goes on."""
        return self.last_offset + 1

    @property
    def rows(self) -> int:
        """Records, rejected records and tombstones."""
        return self.records + self.rejected + self.forgotten

    @property
    def key(self) -> str:
        """Where it lies."""
        return self.chain.segment(self.first_offset)

    def to_document(self) -> dict[str, Any]:
        """As the file's metadata says it."""
        return to_document(self)

    @classmethod
    def from_document(cls, document: dict[str, Any], where: object) -> Segment:
        """Read a file's metadata.

        Raises
        ------
        LakeError
            The document is of another format or lacks something.
        """
        try:
            chain, rest = chain_and_rest(document, what="segment", wanted=SEGMENT_FORMAT, where=where)
            lost = tuple((int(a), int(b), str(why)) for a, b, why in rest.pop("lost"))
            return cls(chain=chain, lost=lost, **rest)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{where} is not a segment ({error!r}); restore it from a copy of the lake"
            raise LakeError(msg) from error


@cache
def code_fingerprint() -> str:
    """Version and a digest of the source: which code landed a file."""
    root = Path(pipeline.__file__).parent
    hasher = hashlib.blake2b(digest_size=8)
    for path in sorted(root.rglob("*.py")):
        hasher.update(path.relative_to(root).as_posix().encode() + b"\0")
        hasher.update(path.read_bytes() + b"\0")
    return f"{pipeline.__version__}+{hasher.hexdigest()}"


def iso(value: datetime | None) -> str | None:
    """A time as metadata writes it: ISO 8601, naive UTC, microseconds."""
    return None if value is None else value.replace(tzinfo=None).isoformat(timespec="microseconds")


def segment_table(records: pa.Table, rejected: pa.Table, space: EmbeddingSpace) -> pa.Table:
    """Rows of a segment in landed order: records by (account, event time, request id, position), then the rest.

    Parameters
    ----------
    records
        `pipeline.records.schema.record_schema`.
    rejected
        `pipeline.records.schema.REJECTED_SCHEMA`.
    """
    schema = segment_schema(space)
    return pa.concat_tables(
        [
            _fitted(sort_records(records), KIND_RECORD, schema),
            _fitted(sort_positions(rejected), KIND_REJECTED, schema),
        ]
    )


def ordered_segment_table(table: pa.Table) -> pa.Table:
    """Rows that already have the segment schema, in landed order."""
    is_record = pc.equal(table.column("kind"), KIND_RECORD)
    return pa.concat_tables(
        [sort_records(table.filter(is_record)), sort_positions(table.filter(pc.invert(is_record)))]
    )


def _fitted(table: pa.Table, kind: str, schema: pa.Schema) -> pa.Table:
    """Give a table the segment's columns; those it does not have are null."""
    columns = []
    for wanted in schema:
        if wanted.name == "kind":
            columns.append(pa.repeat(pa.scalar(kind), table.num_rows))
        elif wanted.name in table.column_names:
            columns.append(table.column(wanted.name).cast(wanted.type))
        else:
            columns.append(pa.nulls(table.num_rows, wanted.type))
    return pa.Table.from_arrays(columns, schema=schema)


def count_kinds(table: pa.Table) -> dict[str, int]:
    """Rows of each kind."""
    counted = {KIND_RECORD: 0, KIND_REJECTED: 0, KIND_FORGOTTEN: 0}
    for entry in pc.value_counts(table.column("kind")).to_pylist():
        counted[entry["values"]] = entry["counts"]
    return counted


def describe_segment(
    table: pa.Table,
    chain: Chain,
    *,
    topic: str,
    cluster_id: str,
    first_offset: int,
    last_offset: int,
    lake_fingerprint: str,
    parameters: str,
    writer: str,
    created_at: datetime,
    last_append_time: datetime | None = None,
    max_future_seconds: int | None = None,
    lost: tuple[tuple[int, int, str], ...] = (),
) -> Segment:
    """Count and digest the rows of a segment (in landed order)."""
    counted = count_kinds(table)
    times = pc.min_max(table.column("event_time"))
    return Segment(
        chain=chain,
        topic=topic,
        cluster_id=cluster_id,
        first_offset=first_offset,
        last_offset=last_offset,
        records=counted[KIND_RECORD],
        rejected=counted[KIND_REJECTED],
        forgotten=counted[KIND_FORGOTTEN],
        positions_digest=positions_digest(position_pairs(table)),
        contents_digest=contents_digest(table),
        lake_fingerprint=lake_fingerprint,
        parameters=parameters,
        code=code_fingerprint(),
        writer=writer,
        created_at=str(iso(created_at)),
        min_event_time=iso(times["min"].as_py()),
        max_event_time=iso(times["max"].as_py()),
        last_append_time=iso(last_append_time),
        max_future_seconds=max_future_seconds,
        lost=lost,
    )


def put_segment(store: Store, table: pa.Table, segment: Segment) -> bool:
    """Write and publish a segment; False when its name was taken."""
    temporary = store.temporary()
    with LakeFileWriter(temporary, table.schema, row_group=RECORDS_ROW_GROUP) as writer:
        writer.write(table)
        writer.close(segment.to_document())
    return store.put_file(temporary, segment.key)


def read_segment(store: Store, chain: Chain, first_offset: int) -> Segment | None:
    """Metadata of the segment that begins at an offset, None if there is none.

    Raises
    ------
    LakeError
        The file under that name says that it is something else.
    """
    path = store.path(chain.segment(first_offset))
    footer = footer_if_there(path)
    if footer is None:
        return None
    segment = Segment.from_document(footer.metadata, path)
    if (segment.chain, segment.first_offset) != (chain, first_offset) or segment.last_offset < first_offset:
        msg = (
            f"{path} says it holds offsets {segment.first_offset} to {segment.last_offset} of chain "
            f"{segment.chain.key}; it was renamed or copied here: take it out of the lake"
        )
        raise LakeError(msg)
    if segment.rows != footer.rows:
        msg = f"{path} has {footer.rows} rows and says it has {segment.rows}; restore it from a copy of the lake"
        raise LakeError(msg)
    return segment
