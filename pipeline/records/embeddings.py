"""Embedding columns of every shape to int8 ``[n, d]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import Reason
from pipeline.records.grid import check_grid, quantise_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.records.batch import Batch
    from pipeline.spaces import EmbeddingSpace


def take_grid_bytes(
    batch: Batch, index: NDArray[np.intp] | None, values: Sequence[bytes], space: EmbeddingSpace
) -> None:
    """Ready-made grid vectors: ``d`` bytes each, read as int8.

    ``index`` says which rows of the batch they belong to; None means all, in order.
    """
    d = space.dimension
    data = b"".join(values)
    if set(map(len, values)) - {d}:
        places = np.arange(len(values)) if index is None else index
        fitting = [i for i, value in enumerate(values) if len(value) == d]
        for i, value in enumerate(values):
            if len(value) != d:
                batch.fault(int(places[i]), *wrong_dimension(len(value), space, " int8 values"))
        index, values = places[fitting], [values[i] for i in fitting]
        data = b"".join(values)
    take_grid(batch, index, np.frombuffer(data, np.int8).reshape(len(values), d), space)


def take_grid(
    batch: Batch, index: NDArray[np.intp] | None, q: NDArray[np.int8], space: EmbeddingSpace
) -> None:
    """Ready-made grid vectors as int8 ``[m, d]``."""
    if index is None:
        batch.embedding = q
    else:
        batch.embedding[index] = q
    for fault in check_grid(q, space):
        row = fault.row if index is None else int(index[fault.row])
        batch.fault(row, fault.reason, fault.detail)


def take_vectors(
    batch: Batch, index: NDArray[np.intp], vectors: NDArray[np.floating], space: EmbeddingSpace
) -> None:
    """Real-valued vectors as ``[m, d]``, put on the grid."""
    q, faults = quantise_rows(vectors, space)
    batch.embedding[index] = q
    for fault in faults:
        batch.fault(int(index[fault.row]), fault.reason, fault.detail)


def take_lists(
    batch: Batch, index: NDArray[np.intp], lists: Sequence[list[float]], space: EmbeddingSpace
) -> None:
    """Real-valued vectors as Python lists, of whatever length."""
    d = space.dimension
    fitting = [i for i, values in enumerate(lists) if len(values) == d]
    if len(fitting) < len(lists):
        for i, values in enumerate(lists):
            if len(values) != d:
                batch.fault(int(index[i]), *wrong_dimension(len(values), space))
    if fitting:
        vectors = np.array([lists[i] for i in fitting], np.float64)
        take_vectors(batch, index[fitting], vectors, space)


def wrong_dimension(length: int, space: EmbeddingSpace, unit: str = " values") -> tuple[Reason, str]:
    """Reason and detail for a vector of another length."""
    detail = (
        f"embedding has {length}{unit}, {space} has {space.dimension}; embed with that model, "
        "or use a lake of another space"
    )
    return Reason.WRONG_DIMENSION, detail
