"""How the lake writes and reads Parquet: one metadata document per file, settings by kind of column."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import LakeError
from pipeline.lake.documents import canonical

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

METADATA_KEY = "distillwatch"
LIGHT_ROW_GROUP = 16_384
# A look at one account has to read a row group of every segment: 64 ms of CPU for three segments of 65,536 records
# with 16,384 rows, 33 ms with 4,096, at the same size and cost of landing.
RECORDS_ROW_GROUP = 4_096
HEAVY_ROW_GROUP = 1_024
_ZSTD_LEVEL = 1  # 3 and 9 bought less than 1 % on records
_STATISTICS = ("account_id", "event_time", "window_start", "offset", "kind")
# Repeating values; a dictionary of anything else only costs the attempt.
_DICTIONARY = frozenset(
    {
        "topic_id", "topic", "partition", "kind", "account_id", "embedding_model", "model", "operation",
        "temperature", "top_p", "max_tokens", "choice_count", "system_prompt_hash", "template_hash", "language",
        "client_network", "asn", "country", "user_agent", "organization_id", "payment_id", "status", "reason",
        "window_start",
    }
)  # fmt: skip
# int8 grid values and hashes do not shrink; reading them back uncompressed is 2-4 times as fast.
_UNCOMPRESSED = frozenset(
    {
        "embedding",
        "embedding_sum",
        "kernel_mean",
        "prompt_distinct",
        "template_distinct",
        "client_network_distinct",
    }
)


class LakeFileWriter:
    """Writes one Parquet file in pieces, its metadata document last.

    Row groups are cut at ``row_group`` rows however the pieces come, so equal rows give equal files.

    Parameters
    ----------
    path
        A temporary name.
    schema
        Every piece has it.
    row_group
        Rows of a row group: what a look-up of one account has to read.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, row_group: int) -> None:
        self.schema = schema.remove_metadata()
        self.rows = 0
        self._row_group = row_group
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._path = path
        names = self.schema.names
        self._writer = pq.ParquetWriter(
            path,
            self.schema,
            # pyarrow's own copy of the schema would double the metadata; the Parquet types say it all.
            store_schema=False,
            compression={name: "NONE" if name in _UNCOMPRESSED else "zstd" for name in names},
            compression_level={name: _ZSTD_LEVEL for name in names if name not in _UNCOMPRESSED} or None,
            use_dictionary=[name for name in names if name in _DICTIONARY],
            write_statistics=[name for name in names if name in _STATISTICS],
        )

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        table = table.replace_schema_metadata(None)
        self.rows += table.num_rows
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= self._row_group:
            self._flush(whole=False)

    def close(self, metadata: dict[str, Any], keys: dict[str, str] | None = None) -> None:
        """Write what is left, then the metadata document and further metadata keys."""
        self._flush(whole=True)
        self._writer.add_key_value_metadata({METADATA_KEY: canonical(metadata).decode(), **(keys or {})})
        self._writer.close()

    def abort(self) -> None:
        """Give up and remove the file."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()  # writes a footer, which the full disk that brought us here may refuse
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()

    def _flush(self, *, whole: bool) -> None:
        if not self._waiting_rows:
            return
        waiting = pa.concat_tables(self._waiting)
        rows = self._waiting_rows if whole else self._waiting_rows // self._row_group * self._row_group
        self._writer.write_table(waiting.slice(0, rows), row_group_size=self._row_group)
        rest = waiting.slice(rows)
        self._waiting = [rest] if rest.num_rows else []
        self._waiting_rows = rest.num_rows


@dataclass(frozen=True, slots=True)
class Footer:
    """What the end of a lake file says."""

    rows: int
    metadata: dict[str, Any]


def read_footer(path: Path) -> Footer:
    """Rows and metadata document of a lake file.

    Raises
    ------
    FileNotFoundError
        There is none.
    LakeError
        It is not a file that distillwatch wrote.
    """
    try:
        footer = pq.read_metadata(path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} cannot be read as Parquet ({error}); restore it from a copy of the lake"
        raise LakeError(msg) from error
    document = (footer.metadata or {}).get(METADATA_KEY.encode())
    if document is None:
        msg = f"{path} has no {METADATA_KEY!r} metadata; it was not written by distillwatch: take it out of the lake"
        raise LakeError(msg)
    return Footer(footer.num_rows, json.loads(document))
