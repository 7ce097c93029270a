"""Tombstones: a row whose record is forgotten keeps its position, and nothing else of what it said.

Coverage still verifies, since the digest of positions covers every kind of row; readers pass tombstones over,
since they have no account. The command that rewrites landed files comes later; the format is here.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.lake.segments import ordered_segment_table
from pipeline.records.schema import KIND_FORGOTTEN, POSITION_FIELDS

if TYPE_CHECKING:
    from datetime import datetime

_KEPT = {field.name for field in POSITION_FIELDS}


def forget_rows(
    table: pa.Table, mask: pa.Array | pa.ChunkedArray, *, reason: str, by: str, when: datetime
) -> pa.Table:
    """Replace the rows of a mask by tombstones.

    Parameters
    ----------
    table
        Segment schema.
    mask
        bool[n]; null means no.
    reason, by, when
        Why, on whose order and when; ``detail`` holds the last two as JSON.

    Returns
    -------
    pa.Table
        As many rows with the same positions, in landed order.
    """
    mask = pc.fill_null(mask, fill_value=False)
    forgotten = table.filter(mask)
    detail = json.dumps(
        {"by": by, "when": when.astimezone(UTC).isoformat(timespec="seconds")}, sort_keys=True
    )
    said = {"kind": KIND_FORGOTTEN, "reason": reason, "detail": detail}
    columns = []
    for field in table.schema:
        if field.name in _KEPT:
            columns.append(forgotten.column(field.name))
        elif field.name in said:
            columns.append(pa.repeat(pa.scalar(said[field.name], field.type), forgotten.num_rows))
        else:
            columns.append(pa.nulls(forgotten.num_rows, field.type))
    tombstones = pa.Table.from_arrays(columns, schema=table.schema)
    return ordered_segment_table(pa.concat_tables([table.filter(pc.invert(mask)), tombstones]))
