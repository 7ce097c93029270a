"""The columns of every raw relation, by name: what the views may read.

Landed relations have the columns of the formats; described relations are rows that Python reads from footers,
manifests and small JSON files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.profiles.schema import PROFILES_SCHEMA, WINDOWS_SCHEMA
from pipeline.records.schema import segment_schema
from pipeline.tables import TABLES, table_schema
from pipeline.warehouse.binding import columns_of

if TYPE_CHECKING:
    from pipeline.spaces import EmbeddingSpace

Columns = dict[str, str]

LAKE: Columns = {
    "format": "INTEGER",
    "embedding_model": "VARCHAR",
    "dimension": "INTEGER",
    "window_seconds": "INTEGER",
    "parameters": "VARCHAR",
    "pseudonym_fingerprint": "VARCHAR",
    "manifest": "BIGINT",
}

_RANGE: Columns = {
    "topic_id": "VARCHAR",
    "topic": "VARCHAR",
    "partition": "INTEGER",
    "first_offset": "BIGINT",
    "last_offset": "BIGINT",
}

SEGMENTS: Columns = {
    **_RANGE,
    "records": "BIGINT",
    "rejected": "BIGINT",
    "forgotten": "BIGINT",
    "windows_landed": "BOOLEAN",
    "min_event_time": "TIMESTAMP",
    "max_event_time": "TIMESTAMP",
    "last_append_time": "TIMESTAMP",
    "created_at": "TIMESTAMP",
    "max_future_seconds": "BIGINT",
    "lost": "BIGINT",
    "cluster_id": "VARCHAR",
    "positions_digest": "VARCHAR",
    "contents_digest": "VARCHAR",
    "lake_fingerprint": "VARCHAR",
    "parameters": "VARCHAR",
    "code": "VARCHAR",
    "writer": "VARCHAR",
    "run_id": "VARCHAR",
    "file": "VARCHAR",
}

WINDOW_FILES: Columns = {
    **_RANGE,
    "segments": "BIGINT",
    "records": "BIGINT",
    "windows": "BIGINT",
    "heavy_rows": "BIGINT",
    "profiles_digest": "VARCHAR",
    "parameters": "VARCHAR",
    "window_seconds": "BIGINT",
    "code": "VARCHAR",
    "writer": "VARCHAR",
    "created_at": "TIMESTAMP",
    "run_id": "VARCHAR",
    "date": "DATE",
    "file": "VARCHAR",
    "heavy_file": "VARCHAR",
}

MANIFEST: Columns = {
    "number": "BIGINT",
    "created_at": "TIMESTAMP",
    "kind": "VARCHAR",
    "name": "VARCHAR",
    "run_id": "VARCHAR",
    "date": "DATE",
    "rows": "BIGINT",
    "bytes": "BIGINT",
    "digest": "VARCHAR",
    "file": "VARCHAR",
}


INDICATOR_MARKS: Columns = {
    "account_id": "VARCHAR",
    "kind": "VARCHAR",
    "indicator_id": "VARCHAR",
    "sender": "VARCHAR",
    "tlp": "VARCHAR",
    "campaign": "VARCHAR",
    "confidence": "BIGINT",
    "valid_from": "TIMESTAMP",
    "valid_until": "TIMESTAMP",
    "imported_at": "TIMESTAMP",
    "imported_by": "VARCHAR",
    "file": "VARCHAR",
}
"""Accounts that match indicators others shared (`pipeline.indicators`), as they were imported."""


def landed_relations(space: EmbeddingSpace) -> dict[str, Columns]:
    """Raw relations that are Parquet files, with their columns."""
    rows = columns_of(segment_schema(space))
    return {
        # Segments hold records and rejected records in one file; runs hold them apart.
        "record_rows": rows,
        "dead_letter_rows": rows,
        "windows": columns_of(WINDOWS_SCHEMA),
        "profiles": columns_of(PROFILES_SCHEMA),
        **{name: columns_of(schema) for name, schema in TABLES.items()},
    }


def described_relations() -> dict[str, Columns]:
    """Raw relations that Python fills, with their columns."""
    return {
        "lake": LAKE,
        "segments": SEGMENTS,
        "window_files": WINDOW_FILES,
        "manifest": MANIFEST,
        "live_alerts": columns_of(table_schema("alerts")),
        "indicator_marks": INDICATOR_MARKS,
    }
