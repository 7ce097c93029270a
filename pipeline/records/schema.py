"""The one Arrow schema of a record, of a rejected record, and of a landed segment.

Column order is part of the format. Times are naive UTC microseconds: DuckDB then needs no time-zone
database to hand them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pipeline.spaces import EmbeddingSpace

TIMESTAMP = pa.timestamp("us")

POSITION_FIELDS = (
    pa.field("topic_id", pa.string(), nullable=False),
    pa.field("topic", pa.string(), nullable=False),
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),
)

REQUIRED = ("request_id", "account_id", "event_time", "embedding")

OPTIONAL_FIELDS = (
    pa.field("embedding_model", pa.string()),
    pa.field("model", pa.string()),
    pa.field("operation", pa.string()),
    pa.field("input_tokens", pa.int64()),
    pa.field("output_tokens", pa.int64()),
    pa.field("temperature", pa.float64()),
    pa.field("top_p", pa.float64()),
    pa.field("max_tokens", pa.int64()),
    pa.field("choice_count", pa.int64()),
    pa.field("logprobs", pa.bool_()),
    pa.field("stream", pa.bool_()),
    pa.field("reasoning_requested", pa.bool_()),
    pa.field("prompt_hash", pa.uint64()),
    pa.field("template_hash", pa.uint64()),
    pa.field("system_prompt_hash", pa.uint64()),
    pa.field("language", pa.string()),
    pa.field("client_network", pa.string()),
    pa.field("asn", pa.int64()),
    pa.field("country", pa.string()),
    pa.field("user_agent", pa.string()),
    pa.field("organization_id", pa.string()),
    pa.field("payment_id", pa.string()),
    pa.field("status", pa.string()),
    pa.field("latency_ms", pa.int64()),
)


def body_fields(space: EmbeddingSpace) -> tuple[pa.Field, ...]:
    """What a record says: the required fields, then the optional ones."""
    return (
        pa.field("request_id", pa.string()),
        pa.field("account_id", pa.string()),
        pa.field("event_time", TIMESTAMP),
        pa.field("embedding", pa.binary(space.dimension)),
        *OPTIONAL_FIELDS,
    )


def record_schema(space: EmbeddingSpace) -> pa.Schema:
    """A decoded record: its position, then its body; the embedding is d int8 grid values."""
    return pa.schema([*POSITION_FIELDS, *body_fields(space)])


REJECTED_FIELDS = (
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),
    pa.field("raw", pa.binary()),
    pa.field("raw_bytes", pa.int64()),
)

REJECTED_SCHEMA = pa.schema([*POSITION_FIELDS, *REJECTED_FIELDS])

KIND_RECORD = "record"
KIND_REJECTED = "rejected"
KIND_FORGOTTEN = "forgotten"


def segment_schema(space: EmbeddingSpace) -> pa.Schema:
    """A landed segment: records, rejected records and tombstones in one table, told apart by ``kind``.

    A tombstone (``kind = 'forgotten'``) keeps its position; ``reason`` says why, ``detail`` when and by whom.
    """
    return pa.schema(
        [
            *POSITION_FIELDS,
            pa.field("kind", pa.string(), nullable=False),
            *body_fields(space),
            *REJECTED_FIELDS,
        ]
    )


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one decoding call made of its input: good records, rejected ones, and what it left out.

    ``records`` has `record_schema`, ``rejected`` has `REJECTED_SCHEMA`; both are in order of position.
    ``unknown_fields`` counts, per name, values of fields that are not part of the contract.
    """

    records: pa.Table
    rejected: pa.Table
    unknown_fields: dict[str, int]
