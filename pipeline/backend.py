"""numpy or cupy: the array module plus the few operations that differ. The only place that imports cupy.

A backend turns one block of grid vectors, sorted by group, into exact integer sums per group. What comes out is the
same on every backend, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from pipeline.errors import OutOfBounds, UsageError
from pipeline.kernels.device import KERNELS, SOURCE, Constants, chunks, device_sums, device_topics
from pipeline.kernels.kernel_mean import cosines
from pipeline.kernels.moment import packed_moment, shifted
from pipeline.kernels.product import grid_product, squared_norms
from pipeline.kernels.segments import segment_sum
from pipeline.kernels.topics import topics
from pipeline.parameters import AMPLITUDE, random_codebook
from pipeline.profiles.schema import FEATURES, PROJECTED, TOPICS

if TYPE_CHECKING:
    from types import ModuleType

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

    def heavy_sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """As `sums` for a caller that does not read ``out.topic``: half the product, where that saves anything."""
        ...

    def topics(
        self,
        q: npt.NDArray[np.int8],
        parameters: Parameters,
        topic: npt.NDArray[np.int64],
        norm2: npt.NDArray[np.int64],
    ) -> None:
        """Fill ``topic`` and ``norm2`` only, int64[n] each: what a profile without heavy part needs, at half the cost."""
        ...


class NumpyBackend:
    """numpy, with scipy's sparse product for the segmented sums."""

    name = "numpy"
    block_records = 4096

    def sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """See `Backend.sums`."""
        x, product = grid_product(q, parameters.matrix, xp=np)
        out.topic[...] = topics(product[:, :TOPICS], xp=np)
        self._add_up(x, product[:, TOPICS:], starts, parameters, out)

    def heavy_sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """See `Backend.heavy_sums`."""
        x, product = grid_product(q, parameters.heavy_matrix, xp=np)
        self._add_up(x, product, starts, parameters, out)

    def _add_up(
        self,
        x: npt.NDArray[np.float32],
        product: npt.NDArray[np.float32],
        starts: npt.NDArray[np.int64],
        parameters: Parameters,
        out: Sums,
    ) -> None:
        """All but the topics, from the vectors and their product with `Parameters.heavy_matrix`."""
        turns, projected = product[:, :FEATURES], product[:, FEATURES:]
        out.norm2[...] = squared_norms(x, xp=np)
        segment_sum(x, starts, GRID_LIMIT, out.embedding_sum, xp=np, one_hot=one_hot_sum)
        waves = cosines(turns, parameters.phase_offset, parameters.cosines, xp=np)
        segment_sum(waves, starts, AMPLITUDE, out.kernel_mean, xp=np, one_hot=one_hot_sum)
        packed_moment(shifted(projected, parameters.shift, xp=np), starts, out.moment, xp=np)

    def topics(
        self,
        q: npt.NDArray[np.int8],
        parameters: Parameters,
        topic: npt.NDArray[np.int64],
        norm2: npt.NDArray[np.int64],
    ) -> None:
        """See `Backend.topics`."""
        x, scores = grid_product(q, parameters.codebook_matrix, xp=np)
        topic[...] = topics(scores, xp=np)
        norm2[...] = squared_norms(x, xp=np)


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


class CudaTextBackend:
    """The CUDA text on whatever launches it: the part of the cupy backend that needs no cupy.

    Parameters
    ----------
    xp
        Array module of the device.
    launch
        ``(kernel name, blocks, threads, *arguments)``.
    """

    name = "cuda"
    block_records = 65_536

    def __init__(self, xp: ModuleType, launch: Any) -> None:
        self._xp = xp
        self._launch = launch
        self._constants: dict[str, Constants] = {}

    def upload(self, array: npt.NDArray[Any]) -> Any:
        """Host to device."""
        return self._xp.asarray(array)

    def download(self, array: Any) -> npt.NDArray[Any]:
        """Device to host."""
        return np.asarray(array)

    def prepare(self, parameters: Parameters) -> Constants:
        """The parameters on the device, uploaded once."""
        known = self._constants.get(parameters.fingerprint)
        if known is None:
            known = self._constants[parameters.fingerprint] = Constants(
                matrix=self.upload(parameters.matrix),
                codebook=self.upload(parameters.codebook_matrix),
                offset=self.upload(parameters.phase_offset),
                cosines=self.upload(parameters.cos_table),
                topics=TOPICS,
                features=FEATURES,
                projected=PROJECTED,
                shift=parameters.shift,
            )
        return known

    def sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """See `Backend.sums`."""
        constants = self.prepare(parameters)
        low, high, segment = (self.upload(part) for part in chunks(starts, len(q), xp=np))
        result = device_sums(
            self.upload(np.ascontiguousarray(q)),
            (low, high, segment),
            len(starts),
            constants,
            xp=self._xp,
            launch=self._launch,
        )
        for name in ("topic", "norm2"):
            getattr(out, name)[...] = self.download(getattr(result, name))
        for name in ("embedding_sum", "moment", "kernel_mean"):
            getattr(out, name)[...] = self.download(getattr(result, name)).view(np.int64)

    def heavy_sums(
        self, q: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], parameters: Parameters, out: Sums
    ) -> None:
        """See `Backend.heavy_sums`; a device has the topics for nothing."""
        self.sums(q, starts, parameters, out)

    def topics(
        self,
        q: npt.NDArray[np.int8],
        parameters: Parameters,
        topic: npt.NDArray[np.int64],
        norm2: npt.NDArray[np.int64],
    ) -> None:
        """See `Backend.topics`."""
        constants = self.prepare(parameters)
        found, norms = device_topics(
            self.upload(np.ascontiguousarray(q)), constants, xp=self._xp, launch=self._launch
        )
        topic[...] = self.download(found)
        norm2[...] = self.download(norms)


class CupyBackend(CudaTextBackend):
    """One CUDA device through cupy.

    Parameters
    ----------
    tensor_cores
        Let the matrix product run in TF32, if it turns out exact at start-up; else, and by default, in float32.

    Raises
    ------
    UsageError
        cupy is not installed, or no CUDA device answers.
    """

    name = "cupy"

    def __init__(self, *, tensor_cores: bool = False) -> None:
        cupy = _cupy()
        if cupy is None:
            msg = "the cupy backend needs cupy and a CUDA device; install distillwatch[gpu], or choose numpy"
            raise UsageError(msg)
        module = cupy.RawModule(code=cuda_source(), options=("--std=c++17",))
        functions = {name: module.get_function(name) for name in KERNELS}

        def launch(name: str, blocks: int, threads: int, *arguments: Any) -> None:
            # cupy would pass a Python int as 64 bits; the kernels take C ints.
            typed = tuple(np.int32(value) if isinstance(value, int) else value for value in arguments)
            functions[name]((blocks,), (threads,), typed)

        super().__init__(cupy, launch)
        self._tensor_cores = tensor_cores

    def download(self, array: Any) -> npt.NDArray[Any]:
        """Device to host; waits for what was launched."""
        result: npt.NDArray[Any] = self._xp.asnumpy(array)
        return result

    def prepare(self, parameters: Parameters) -> Constants:
        """Upload the parameters; before their first use, see that the device's product is exact.

        Raises
        ------
        OutOfBounds
            It is not, even in float32.
        """
        known = parameters.fingerprint in self._constants
        constants = super().prepare(parameters)
        if known:
            return constants
        for tensor_cores in (True, False) if self._tensor_cores else (False,):
            # Set either way: the environment variable CUPY_TF32 must not decide this.
            _set_tensor_cores(self._xp, enabled=tensor_cores)
            if self._is_exact(parameters, constants):
                self._tensor_cores = tensor_cores
                return constants
        msg = "this device's float32 matrix product is not exact for grid vectors; use the numpy backend"
        raise OutOfBounds(msg)

    def _is_exact(self, parameters: Parameters, constants: Constants) -> bool:
        """Compare one product with int64 on the host."""
        q = random_codebook(parameters.space, "exactness")
        _, product = grid_product(self.upload(q), constants.matrix, xp=self._xp)
        expected = q.astype(np.int64) @ parameters.matrix.astype(np.int64)
        return bool(np.array_equal(self.download(product), expected))


def cuda_source() -> str:
    """The CUDA text."""
    return (files("pipeline.kernels") / SOURCE).read_text(encoding="utf-8")


def _cupy() -> Any:
    """The cupy module if it is installed and a device answers, else None."""
    try:
        import cupy
    except ImportError:
        return None
    # Unlike getDeviceCount, this does not raise where there is no driver.
    return cupy if cupy.cuda.is_available() else None


def _set_tensor_cores(cupy: Any, *, enabled: bool) -> None:
    linalg = cupy._core._routines_linalg  # noqa: SLF001 -- there is no public switch but an environment variable
    kind = linalg.COMPUTE_TYPE_TF32 if enabled else linalg.COMPUTE_TYPE_FP32
    linalg.set_compute_type(np.dtype(np.float32), kind)


def get_backend(name: str = "auto", *, tensor_cores: bool = False) -> Backend:
    """The backend called ``numpy`` or ``cupy``; ``auto`` is cupy where a CUDA device answers, else numpy.

    Parameters
    ----------
    name
        Which.
    tensor_cores
        See `CupyBackend`.

    Raises
    ------
    UsageError
        Another name, or cupy was asked for and there is no device or no cupy.
    """
    if name not in {"numpy", "cupy", "auto"}:
        msg = f"there is no backend {name!r}; choose numpy, cupy or auto"
        raise UsageError(msg)
    if name == "cupy" or (name == "auto" and _cupy() is not None):
        return CupyBackend(tensor_cores=tensor_cores)
    return NumpyBackend()
