"""What one snapshot of a lake holds, as the warehouse binds it: files by relation, rows by relation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import LakeError, UsageError
from pipeline.lake import Lake, Snapshot
from pipeline.lake.paths import ALERTS, INDICATORS, LAKE_FILE, Chain
from pipeline.tables import SIGNAL_COLUMNS, TABLES
from pipeline.warehouse.binding import bind_files, create_table
from pipeline.warehouse.relations import described_relations, landed_relations

if TYPE_CHECKING:
    import os

    from pipeline.spaces import EmbeddingSpace

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sources:
    """Files and rows of one snapshot; whatever is not named is empty.

    Parameters
    ----------
    root
        Folder of the lake: the only one a session may read. Absolute, without symbolic links.
    space
        Embedding space of its records.
    files
        Parquet files per landed relation.
    rows
        Rows per described relation.
    """

    root: Path
    space: EmbeddingSpace
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def bind(self, connection: Any) -> None:
        """Create every raw relation."""
        for name, columns in landed_relations(self.space).items():
            # Scores of an earlier version lack the signals that came later.
            bind_files(connection, name, columns, self.files.get(name, ()), optional=SIGNAL_COLUMNS)
        for name, columns in described_relations().items():
            create_table(connection, name, columns, self.rows.get(name, ()))


def open_snapshot(lake: str | os.PathLike[str]) -> Snapshot:
    """The lake in a folder, as it is now.

    Raises
    ------
    UsageError
        There is no lake in that folder.
    """
    path = Path(lake)
    if not (path / LAKE_FILE).is_file():
        what = "is not a lake" if path.is_dir() else "is no folder"
        msg = f"{path} {what} (there is no {LAKE_FILE} in it); `distillwatch ingest --lake {path} FILE` makes one"
        raise UsageError(msg)
    return Lake.open(path).snapshot()


def read_sources(snapshot: Snapshot) -> Sources:
    """Files and rows of a snapshot.

    Raises
    ------
    LakeError
        A live alert's file cannot be read.
    """
    # A relative name would change its meaning when the process changes its folder.
    given = snapshot.store.root
    root = given.resolve()
    files = {
        "record_rows": snapshot.record_files(),
        "dead_letter_rows": snapshot.dead_letter_files(),
        "windows": snapshot.window_files(),
        "profiles": snapshot.profile_files(),
        **{name: snapshot.table_files(name) for name in TABLES},
    }
    return Sources(
        root=root,
        space=snapshot.config.space,
        files={name: [root / path.relative_to(given) for path in paths] for name, paths in files.items()},
        rows={
            "lake": [_lake(snapshot)],
            "segments": list(_segments(snapshot)),
            "window_files": list(_window_files(snapshot)),
            "manifest": list(_manifest(snapshot)),
            "live_alerts": list(_live_alerts(snapshot)),
            "indicator_marks": list(_indicator_marks(snapshot)),
        },
    )


def _lake(snapshot: Snapshot) -> Row:
    config = snapshot.config
    return {
        "format": config.format,
        "embedding_model": config.space.model,
        "dimension": config.space.dimension,
        "window_seconds": config.window_seconds,
        "parameters": config.parameters,
        "pseudonym_fingerprint": config.pseudonym_fingerprint,
        "manifest": snapshot.manifest.number,
    }


def _segments(snapshot: Snapshot) -> Iterator[Row]:
    for key, spans in snapshot.manifest.spans.items():
        chain = Chain.parse(key)
        for span in spans:
            about = snapshot.manifest.runs.get(span.run_id, {})
            yield {
                "topic_id": chain.topic_id,
                "topic": snapshot.tails[key].origin.topic if key in snapshot.tails else None,
                "partition": chain.partition,
                "first_offset": span.first_offset,
                "last_offset": span.next_offset - 1,
                "records": span.records,
                "rejected": span.rejected,
                "forgotten": span.forgotten,
                "windows_landed": True,
                "created_at": about.get("created_at"),
                "lost": len(span.lost),
                "cluster_id": snapshot.tails[key].origin.cluster_id if key in snapshot.tails else None,
                "positions_digest": span.positions_digest,
                "lake_fingerprint": snapshot.config.fingerprint,
                "parameters": snapshot.config.parameters,
                "run_id": span.run_id,
            }
    for tail in snapshot.tails.values():
        for segment in tail.segments:
            yield {
                **segment.to_document(),
                "windows_landed": segment.next_offset <= tail.rollup_head,
                "lost": len(segment.lost),
                "file": segment.key,
            }


def _window_files(snapshot: Snapshot) -> Iterator[Row]:
    heavy = {(file.run_id, file.date): file for file in snapshot.manifest.run_files("profiles")}
    for file in snapshot.manifest.run_files("windows"):
        beside = heavy.get((file.run_id, file.date))
        yield {
            "windows": file.rows,
            "heavy_rows": beside.rows if beside else 0,
            "parameters": snapshot.config.parameters,
            "window_seconds": snapshot.config.window_seconds,
            "run_id": file.run_id,
            "date": file.date,
            "file": file.path,
            "heavy_file": beside.path if beside else None,
        }
    for rollup in snapshot.rollups:
        yield {
            **rollup.to_document(),
            "file": rollup.key,
            "heavy_file": rollup.heavy if rollup.heavy_rows else None,
        }


def _manifest(snapshot: Snapshot) -> Iterator[Row]:
    manifest = snapshot.manifest
    common = {"number": manifest.number, "created_at": manifest.created_at}
    for file in manifest.files:
        yield {
            **common,
            "kind": "run",
            "name": file.kind,
            "run_id": file.run_id,
            "date": file.date,
            "rows": file.rows,
            "bytes": file.bytes,
            "digest": file.digest,
            "file": file.path,
        }
    for name, tables in manifest.tables.items():
        for table in tables:
            yield {
                **common,
                "kind": "table",
                "name": name,
                "rows": table.rows,
                "bytes": table.bytes,
                "digest": table.digest,
                "file": table.path,
            }


def _live_alerts(snapshot: Snapshot) -> Iterator[Row]:
    for key in snapshot.documents_in(ALERTS):
        try:
            alert = json.loads(snapshot.store.read_bytes(key) or b"")
            yield {**alert, **{part: _as_json(alert[part]) for part in ("evidence", "provenance")}}
        except (ValueError, KeyError, TypeError) as error:
            msg = (
                f"{snapshot.store.path(key)} is not an alert ({error!r}); restore it from a copy of the lake"
            )
            raise LakeError(msg) from error


def _indicator_marks(snapshot: Snapshot) -> Iterator[Row]:
    for key in snapshot.documents_in(INDICATORS):
        try:
            document = json.loads(snapshot.store.read_bytes(key) or b"")
            common = {each: document[each] for each in ("sender", "tlp", "imported_at", "imported_by")}
            yield from ({**mark, **common, "file": key} for mark in document["marks"])
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{snapshot.store.path(key)} is no import of indicators ({error!r}); restore it from a copy of the lake"
            raise LakeError(msg) from error


def _as_json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
