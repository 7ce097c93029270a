"""Writing profiles as a light and a heavy file, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.lake.parquet import HEAVY_ROW_GROUP, LIGHT_ROW_GROUP, LakeFileWriter
from pipeline.profiles import Digester, Profiles

if TYPE_CHECKING:
    from pipeline.lake.store import Store
    from pipeline.parameters import Parameters

MIN_RECORDS = 8
WIDTH_PREFIX = b"distillwatch."
NARROW, WIDE = b"int32", b"int64"


class ProfileFilesWriter:
    """Takes key-ordered disjoint blocks of profiles and writes both halves under temporary names.

    The width of the heavy sums holds for a whole file. A block that needs int64 after narrower ones
    makes the writer go over what it has written once more.
    """

    def __init__(self, store: Store, parameters: Parameters) -> None:
        self._store = store
        self.light = store.temporary()
        self.heavy = store.temporary()
        self.windows = 0
        self.heavy_rows = 0
        self._digester = Digester(heavy_from=MIN_RECORDS)
        nothing = Profiles.empty(parameters)
        heavy = nothing.to_profiles_table(min_records=MIN_RECORDS)
        self._widths = _widths(heavy)
        self._light_writer = LakeFileWriter(
            self.light, nothing.to_windows_table().schema, row_group=LIGHT_ROW_GROUP
        )
        self._heavy_writer = LakeFileWriter(self.heavy, heavy.schema, row_group=HEAVY_ROW_GROUP)

    def write(self, profiles: Profiles) -> None:
        """Append a block."""
        self._digester.update(profiles)
        windows = profiles.to_windows_table()
        self._light_writer.write(windows)
        self.windows += windows.num_rows
        self._write_heavy(profiles.to_profiles_table(min_records=MIN_RECORDS))

    def _write_heavy(self, table: pa.Table) -> None:
        if table.num_rows == 0:
            return
        widths = _widths(table)
        wanted = {name: max(width, self._widths[name]) for name, width in widths.items()}
        if wanted != self._widths and self.heavy_rows:
            self._widen_written(wanted)
        self._widths = wanted
        self._heavy_writer.write(_widen(table, widths, wanted))
        self.heavy_rows += table.num_rows

    def _widen_written(self, wanted: dict[bytes, bytes]) -> None:
        self._heavy_writer.close({})
        narrow, self.heavy = self.heavy, self._store.temporary()
        self._heavy_writer = LakeFileWriter(self.heavy, self._heavy_writer.schema, row_group=HEAVY_ROW_GROUP)
        with pq.ParquetFile(narrow) as file:
            for group in range(file.num_row_groups):
                self._heavy_writer.write(_widen(file.read_row_group(group), self._widths, wanted))
        narrow.unlink()

    def close_heavy(self, metadata: dict[str, Any]) -> None:
        """Finish the heavy file."""
        self._heavy_writer.close(
            metadata, {key.decode(): value.decode() for key, value in self._widths.items()}
        )

    def close_light(self, metadata: dict[str, Any]) -> None:
        """Finish the light file."""
        self._light_writer.close(metadata)

    def abort(self) -> None:
        """Give up both files."""
        self._light_writer.abort()
        self._heavy_writer.abort()

    def profiles_digest(self) -> str:
        """`Profiles.digest` of everything written."""
        return self._digester.hexdigest()


def _widths(table: pa.Table) -> dict[bytes, bytes]:
    found = table.schema.metadata or {}
    return {key: value for key, value in found.items() if key.startswith(WIDTH_PREFIX)}


def _widen(table: pa.Table, have: dict[bytes, bytes], wanted: dict[bytes, bytes]) -> pa.Table:
    """Rewrite the int32 blobs of columns that are to be int64."""
    for key, width in wanted.items():
        if have[key] == width:
            continue
        name = key.removeprefix(WIDTH_PREFIX).decode()
        blobs = table.column(name).to_pylist()
        wide = [np.frombuffer(blob, "<i4").astype("<i8").tobytes() for blob in blobs]
        index = table.schema.get_field_index(name)
        table = table.set_column(
            index, table.schema.field(name), pa.array(wide, table.schema.field(name).type)
        )
    return table
