"""numpy or cupy: the array module plus the few operations that differ. The only place that imports cupy.

A backend turns one block of grid vectors, sorted by group, into exact integer sums per group. What comes out is the
same on every backend, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from pipeline.errors import UsageError
from pipeline.kernels.kernel_mean import cosines
from pipeline.kernels.moment import packed_moment, shifted
from pipeline.kernels.product import grid_product, squared_norms
from pipeline.kernels.segments import segment_sum
from pipeline.kernels.topics import topics
from pipeline.parameters import AMPLITUDE
from pipeline.profiles.schema import FEATURES, TOPICS

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.parameters import Parameters

GRID_LIMIT = 128
"""Largest magnitude of an int8."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Where a block's results go: host arrays, overwritten.

    ``topic`` int64[n] and ``norm2`` int64[n] per record; ``embedding_sum`` int64[g, d], ``moment`` int64[g, 528] and
    ``kernel_mean`` int64[g, 256] per group.
    """

    topic: npt.NDArray[np.int64]
    norm2: npt.NDArray[np.int64]
    embedding_sum: npt.NDArray[np.int64]
    moment: npt.NDArray[np.int64]
    kernel_mean: npt.NDArray[np.int64]


class Backend(Protocol):
    """What the engine needs of an array library."""

    name: str

    block_records: int
    """Records that one call takes at best: what fits a cache, or fills a device."""

    def sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """Fill ``out`` from a block.

        Parameters
        ----------
        q
            int8[n, d], n > 0, sorted by group; not written to.
        starts
            int64[g], ascending from 0: where each group begins.
        parameters
            The constants.
        out
            Overwritten.
        """
        ...


class NumpyBackend:
    """numpy, with scipy's sparse product for the segmented sums."""

    name = "numpy"
    block_records = 2048

    def sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """See `Backend.sums`."""
        x, product = grid_product(q, parameters.matrix, xp=np)
        scores = product[:, :TOPICS]
        turns = product[:, TOPICS : TOPICS + FEATURES]
        projected = product[:, TOPICS + FEATURES :]
        out.topic[...] = topics(scores, xp=np)
        out.norm2[...] = squared_norms(x, xp=np)
        segment_sum(x, starts, GRID_LIMIT, out.embedding_sum, xp=np, one_hot=one_hot_sum)
        table = parameters.cos_table.astype(np.float32)
        waves = cosines(turns, parameters.phase_offset, table, xp=np)
        segment_sum(waves, starts, AMPLITUDE, out.kernel_mean, xp=np, one_hot=one_hot_sum)
        packed_moment(shifted(projected, parameters.shift, xp=np), starts, out.moment, xp=np)


def one_hot_sum(values: npt.NDArray[np.float32], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Sum of the rows of each segment, float32[g, m]: a sparse one-hot matrix times the rows."""
    n, groups = len(values), len(starts)
    if groups == n:
        return values
    indptr = np.append(starts, n).astype(np.int32)
    ones = np.ones(n, dtype=np.float32)
    one_hot = sparse.csr_matrix((ones, np.arange(n, dtype=np.int32), indptr), shape=(groups, n))
    result: npt.NDArray[np.float32] = one_hot @ values
    return result


def get_backend(name: str = "auto") -> Backend:
    """The backend called ``numpy`` or ``cupy``; ``auto`` is cupy where a CUDA device answers, else numpy.

    Raises
    ------
    UsageError
        Another name, or cupy was asked for and there is no device or no cupy.
    """
    if name not in {"numpy", "cupy", "auto"}:
        msg = f"there is no backend {name!r}; choose numpy, cupy or auto"
        raise UsageError(msg)
    return NumpyBackend()
