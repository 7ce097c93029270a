"""The sums of one block by the CUDA text beside this module; the launcher is handed in.

On a device the launcher is cupy's; in tests it is the same text compiled for the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.kernels.product import grid_product

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SOURCE = "cuda/profile.cu"
"""The text, relative to this package."""

KERNELS = ("segment_sum", "squared_norms", "topics", "kernel_mean", "packed_moment")

CHUNK_ROWS = 64
"""Rows of one group that one block of threads adds up; the text's comments count on it."""

_ROW_THREADS = 128
"""Threads of a block in kernels with a thread per record."""


class Constants(NamedTuple):
    """Parameters on the device.

    ``matrix`` float32[d, m], its first part alone ``codebook`` float32[d, C], ``offset`` int32[D], ``cosines`` int16[4096]; ``topics``, ``features`` and ``projected``
    are the widths of the three parts of ``matrix``.
    """

    matrix: Any
    codebook: Any
    offset: Any
    cosines: Any
    topics: int
    features: int
    projected: int
    shift: int


class DeviceSums(NamedTuple):
    """Results on the device: int32[n] per record, uint64 per group (two's complement of int64)."""

    topic: Any
    norm2: Any
    embedding_sum: Any
    moment: Any
    kernel_mean: Any


def chunks(starts: Any, n: int, *, xp: ModuleType) -> tuple[Any, Any, Any]:
    """Cut segments into runs of at most 64 rows, so that a heavy account is spread over many blocks.

    Made on the host, where the group starts are: nothing then has to be read back from the device.

    Parameters
    ----------
    starts
        int64[g], ascending from 0.
    n
        Rows.
    xp
        The host's array module.

    Returns
    -------
    tuple
        ``low``, ``high`` and ``segment``, int32[c] each.
    """
    sizes = xp.diff(starts, append=n)
    counts = -(-sizes // CHUNK_ROWS)
    segment = xp.repeat(xp.arange(starts.shape[0]), counts)
    first = xp.cumsum(counts) - counts
    low = starts[segment] + CHUNK_ROWS * (xp.arange(segment.shape[0]) - first[segment])
    high = xp.minimum(low + CHUNK_ROWS, (starts + sizes)[segment])
    return low.astype(xp.int32), high.astype(xp.int32), segment.astype(xp.int32)


def device_sums(
    q: Any,
    cut: tuple[Any, Any, Any],
    groups: int,
    constants: Constants,
    *,
    xp: ModuleType,
    launch: Callable[..., None],
) -> DeviceSums:
    """Topics, norms and sums of one block.

    Parameters
    ----------
    q
        int8[n, d], C-contiguous, on the device, n > 0.
    cut
        What `chunks` made, on the device.
    groups
        Number of segments.
    constants
        The parameters, on the device.
    xp
        The device's array module.
    launch
        ``(kernel name, blocks, threads, *arguments)``; integers are passed as C int.
    """
    n, d = q.shape
    low, high, segment = cut
    count = low.shape[0]
    _, product = grid_product(q, constants.matrix, xp=xp)
    product = xp.ascontiguousarray(product)
    stride = product.shape[1]
    k = constants.projected
    out = DeviceSums(
        topic=xp.empty(n, dtype=xp.int32),
        norm2=xp.empty(n, dtype=xp.int32),
        embedding_sum=xp.zeros((groups, d), dtype=xp.uint64),
        moment=xp.zeros((groups, k * (k + 1) // 2), dtype=xp.uint64),
        kernel_mean=xp.zeros((groups, constants.features), dtype=xp.uint64),
    )
    _per_record(q, product, out.topic, out.norm2, constants, launch)
    launch("segment_sum", count, 128, q, low, high, segment, out.embedding_sum, count, d)
    launch(
        "kernel_mean",
        count,
        128,
        product,
        constants.offset,
        constants.cosines,
        low,
        high,
        segment,
        out.kernel_mean,
        count,
        stride,
        constants.topics,
        constants.features,
    )
    launch(
        "packed_moment",
        count,
        128,
        product,
        low,
        high,
        segment,
        out.moment,
        count,
        stride,
        constants.topics + constants.features,
        k,
        constants.shift,
    )
    return out


def device_topics(
    q: Any, constants: Constants, *, xp: ModuleType, launch: Callable[..., None]
) -> tuple[Any, Any]:
    """Topics and squared norms of one block, int32[n] each; arguments as for `device_sums`."""
    n = q.shape[0]
    _, product = grid_product(q, constants.codebook, xp=xp)
    topic, norm2 = xp.empty(n, dtype=xp.int32), xp.empty(n, dtype=xp.int32)
    _per_record(q, xp.ascontiguousarray(product), topic, norm2, constants, launch)
    return topic, norm2


def _per_record(
    q: Any, product: Any, topic: Any, norm2: Any, constants: Constants, launch: Callable[..., None], /
) -> None:
    n, d = q.shape
    blocks = -(-n // _ROW_THREADS)
    launch("topics", blocks, _ROW_THREADS, product, topic, n, product.shape[1], constants.topics)
    launch("squared_norms", blocks, _ROW_THREADS, q, norm2, n, d)
