"""A batch in pieces, so that what is unfolded at a time is bounded by rows and not by bytes of the log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.records.ipc_headers import claimed_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.batches import FetchedBatch

# More than a fetch of single messages, or of Arrow batches that are not made to unfold: those stay one piece.
# Whatever is in them, a row is a record of at most some kilobytes, or a rejected one.
ROWS = 16_384


def pieces_of(batch: FetchedBatch, largest: int, rows: int | None = None) -> Iterator[FetchedBatch]:
    """Batches that join and together are the one given; each unfolds to ``rows`` or is one message.

    Parameters
    ----------
    largest
        Rows that one message may have; one that claims more is refused unread, so it counts as one row.
    rows
        Default: `ROWS`.
    """
    bound = ROWS if rows is None else rows
    begins, held = 0, 0
    for i, value in enumerate(batch.values):
        claimed = 1 if value is None else claimed_rows(value)
        weight = claimed if 1 <= claimed <= largest else 1
        if i > begins and held + weight > bound:
            yield _piece(batch, begins, i)
            begins, held = i, 0
        held += weight
    yield _piece(batch, begins, len(batch))


def _piece(batch: FetchedBatch, begins: int, ends: int) -> FetchedBatch:
    """Messages ``begins`` to ``ends - 1``, with the offsets without a message up to the next piece."""
    if (begins, ends) == (0, len(batch)):
        return batch
    values = batch.values[begins:ends]
    return replace(
        batch,
        first_offset=int(batch.offsets[begins]) if begins else batch.first_offset,
        next_offset=int(batch.offsets[ends]) if ends < len(batch) else batch.next_offset,
        offsets=np.ascontiguousarray(batch.offsets[begins:ends]),
        timestamps=np.ascontiguousarray(batch.timestamps[begins:ends]),
        values=values,
        bytes=sum(len(value) for value in values if value is not None),
    )
