"""The constants of a profile: projection, random features, cosine table, codebook. Data, with a fingerprint.

They ship as a file instead of being drawn at start-up: numpy's random streams are no contract, and two
deployments whose constants differ in one bit have profiles that must not be added up.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import OutOfBounds, SpaceMismatch, UsageError
from pipeline.kernels.kernel_mean import PHASES, SCALE_BITS
from pipeline.kernels.product import EXACT_FLOAT32
from pipeline.profiles.schema import FEATURES, PROJECTED, TOPICS
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    import numpy.typing as npt

VERSION = 1
"""Changes when the meaning of the arrays changes; part of the fingerprint."""

AMPLITUDE = 2047
"""Of the cosine table: the largest that lets 8,192 records be added up exactly in float32."""

NORM_TOLERANCE = 1.1
"""A grid vector's squared norm is at most this much of the space's (what arrives beyond it is rejected)."""

TYPICAL_DISTANCE = 1.3
"""Distance of two unrelated unit embeddings, for spaces in which nobody has measured the median."""

_ARRAYS = ("projection", "features", "phase", "cos_table", "codebook")


@dataclass(frozen=True, eq=False)
class Parameters:
    """The constants with which records of one embedding space become profiles.

    Parameters
    ----------
    space
        The embedding space.
    projection
        P, int8[d, 32] in {-1, +1}.
    shift
        s of ``y = (q @ P) >> s``.
    features
        W, int16[d, 256]: random frequencies, 64 times finer than a phase step.
    phase
        b, int16[256] in [0, 4096).
    cos_table
        int16[4096], ``rint(2047 cos(2 pi i / 4096))``.
    codebook
        int8[256, d], centroids on the grid.

    Raises
    ------
    UsageError
        An array has another shape, type or range.
    OutOfBounds
        A product with a grid vector could leave the range in which float32 is exact (2**24), or a projected
        vector the one in which a product of two does.
    """

    space: EmbeddingSpace
    projection: npt.NDArray[np.int8]
    shift: int
    features: npt.NDArray[np.int16]
    phase: npt.NDArray[np.int16]
    cos_table: npt.NDArray[np.int16]
    codebook: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        d = self.space.dimension
        expected: dict[str, tuple[tuple[int, ...], type]] = {
            "projection": ((d, PROJECTED), np.int8),
            "features": ((d, FEATURES), np.int16),
            "phase": ((FEATURES,), np.int16),
            "cos_table": ((PHASES,), np.int16),
            "codebook": ((TOPICS, d), np.int8),
        }
        for name, (shape, kind) in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != kind:
                msg = (
                    f"parameter {name} is {array.dtype}{list(array.shape)}; "
                    f"{self.space} needs {np.dtype(kind)}{list(shape)}"
                )
                raise UsageError(msg)
            frozen = np.ascontiguousarray(array)
            if frozen is array:
                frozen = array.copy()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)
        if self.phase.min() < 0 or self.phase.max() >= PHASES:
            msg = f"parameter phase has a value outside [0, {PHASES})"
            raise UsageError(msg)
        if np.abs(self.cos_table.astype(np.int32)).max() > AMPLITUDE:
            msg = (
                f"parameter cos_table has a value beyond {AMPLITUDE}; 8,192 records would not add up exactly"
            )
            raise UsageError(msg)
        if not 0 <= self.shift <= 16:
            msg = f"parameter shift is {self.shift}; it must be 0 to 16"
            raise UsageError(msg)
        self._check_bounds()

    def _check_bounds(self) -> None:
        """Worst case over all grid vectors: ``|q @ column| <= |q| |column|`` (Cauchy-Schwarz)."""
        longest = math.sqrt(self.norm2_bound)
        for name, matrix in (("P", self.projection), ("W", self.features), ("codebook", self.codebook.T)):
            columns = np.sqrt((matrix.astype(np.float64) ** 2).sum(axis=0))
            worst = float(columns.max()) * longest
            if worst >= EXACT_FLOAT32:
                msg = (
                    f"|q @ {name}| can reach {worst:.0f} in {self.space}, float32 is exact below {EXACT_FLOAT32}; "
                    f"scale {name} down"
                )
                raise OutOfBounds(msg)
        if self.projected_bound**2 > EXACT_FLOAT32:
            msg = (
                f"projected coordinates can reach {self.projected_bound} in {self.space} after a shift of "
                f"{self.shift}; their products must not pass {EXACT_FLOAT32}: use a larger shift"
            )
            raise OutOfBounds(msg)

    @property
    def norm2_bound(self) -> int:
        """Largest squared norm of a grid vector that is accepted."""
        return math.floor(NORM_TOLERANCE * self.space.norm2)

    @property
    def projected_bound(self) -> int:
        """Largest magnitude of a coordinate of ``y``."""
        reach = math.sqrt(self.norm2_bound * self.space.dimension)
        return math.ceil(reach / (1 << self.shift))

    @property
    def max_records(self) -> int:
        """Records that one profile may add up before an int64 field could overflow."""
        largest = max(self.projected_bound**2, self.norm2_bound, AMPLITUDE, 127)
        return (2**63 - 1) // largest

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of everything above, in hex."""
        digest = hashlib.blake2b(digest_size=16, person=b"dw-parameters")
        head = f"{VERSION}\n{self.space.model}\n{self.space.dimension}\n{self.shift}\n"
        digest.update(head.encode())
        for name in _ARRAYS:
            array = getattr(self, name)
            little = array.astype(array.dtype.newbyteorder("<"))
            digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Parameters({self.space}, {self.fingerprint})"

    def require_same(self, other: Parameters) -> None:
        """Refuse to bring profiles of different spaces or parameters together.

        Raises
        ------
        SpaceMismatch
            They differ.
        """
        if self is other or self.fingerprint == other.fingerprint:
            return
        if self.space != other.space:
            msg = f"profiles of {self.space} and of {other.space} do not add up; keep one lake per embedding space"
        else:
            msg = (
                f"profiles of {self.space} were made with parameters {self.fingerprint} and "
                f"{other.fingerprint}; recompute one side from its records"
            )
        raise SpaceMismatch(msg)

    @cached_property
    def matrix(self) -> npt.NDArray[np.float32]:
        """``[codebook.T | W | P]``, float32[d, 544]: everything a block is multiplied with."""
        fused = np.concatenate(
            [
                self.codebook.T.astype(np.float32),
                self.features.astype(np.float32),
                self.projection.astype(np.float32),
            ],
            axis=1,
        )
        fused.flags.writeable = False
        return fused

    @cached_property
    def heavy_matrix(self) -> npt.NDArray[np.float32]:
        """``[W | P]``, float32[d, 288], for when everything but topics is asked for."""
        fused = np.ascontiguousarray(self.matrix[:, len(self.codebook) :])
        fused.flags.writeable = False
        return fused

    @cached_property
    def codebook_matrix(self) -> npt.NDArray[np.float32]:
        """``codebook.T``, float32[d, 256], for when nothing but topics is asked for."""
        scores = np.ascontiguousarray(self.codebook.T.astype(np.float32))
        scores.flags.writeable = False
        return scores

    @cached_property
    def phase_offset(self) -> npt.NDArray[np.int32]:
        """``64 b + 32``, int32[256]: see `pipeline.kernels.kernel_mean.phases`."""
        return (self.phase.astype(np.int32) << SCALE_BITS) + (1 << (SCALE_BITS - 1))

    @cached_property
    def cosines(self) -> npt.NDArray[np.float32]:
        """The cosine table as float32[4096], ready to be looked up."""
        table = self.cos_table.astype(np.float32)
        table.flags.writeable = False
        return table

    @classmethod
    def default(cls, space: EmbeddingSpace | None = None) -> Parameters:
        """The shipped parameters of a space: all-MiniLM-L6-v2 with 384 dimensions.

        Raises
        ------
        UsageError
            Nothing is shipped for this space.
        """
        space = space or EmbeddingSpace()
        return _shipped(space)

    @classmethod
    def generate(
        cls,
        space: EmbeddingSpace,
        seed: str = "distillwatch",
        codebook: npt.NDArray[np.int8] | None = None,
        median_distance: float = TYPICAL_DISTANCE,
    ) -> Parameters:
        """Parameters of any space, the same on every machine: all randomness is SHAKE-256 of ``seed``.

        Parameters
        ----------
        space
            The embedding space.
        seed
            Any text.
        codebook
            int8[256, d] centroids; without one, random directions on the grid (topics then mean little).
        median_distance
            Median Euclidean distance of two unit embeddings: the width of the kernel (median heuristic,
            Gretton et al., JMLR 13, 2012).
        """
        if not 0.01 <= median_distance <= 2.0:
            msg = f"median_distance is {median_distance}; distances of unit vectors lie in [0.01, 2]"
            raise UsageError(msg)
        d = space.dimension
        reach = math.sqrt(math.floor(NORM_TOLERANCE * space.norm2) * d)
        # The smallest shift after which a product of two coordinates is still a float32 integer.
        shift = max(0, math.ceil(math.log2(reach / math.sqrt(EXACT_FLOAT32))))
        bits = np.unpackbits(_stream(f"{seed}/projection/{d}", d * PROJECTED // 8))
        projection = (bits.astype(np.int8) * 2 - 1).reshape(d, PROJECTED)
        turn = (1 << SCALE_BITS) * PHASES / (2.0 * math.pi * space.scale * median_distance)
        features = (
            np.rint(normal(f"{seed}/features/{d}", d * FEATURES) * turn).astype(np.int16).reshape(d, FEATURES)
        )
        phase = (_stream(f"{seed}/phase", 2 * FEATURES).view("<u2") % PHASES).astype(np.int16)
        return cls(
            space=space,
            projection=projection,
            shift=shift,
            features=features,
            phase=phase,
            cos_table=cosine_table(),
            codebook=random_codebook(space, seed) if codebook is None else codebook,
        )

    def save(self, path: Path | str) -> None:
        """Write to ``path`` (.npz); the same parameters give the same bytes."""
        with Path(path).open("wb") as file:
            np.savez_compressed(
                file,
                version=np.int64(VERSION),
                model=np.str_(self.space.model),
                dimension=np.int64(self.space.dimension),
                shift=np.int64(self.shift),
                fingerprint=np.str_(self.fingerprint),
                **{name: getattr(self, name) for name in _ARRAYS},
            )

    @classmethod
    def load(cls, path: Path | str) -> Parameters:
        """Read what `save` wrote.

        Raises
        ------
        UsageError
            The file is missing, not such a file, of another version, or its fingerprint does not match.
        """
        try:
            # Opened here: numpy leaves the file open when it turns out not to be an archive.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                version = int(stored["version"])
                if version != VERSION:
                    msg = f"{path} has parameters of version {version}; this release reads version {VERSION}"
                    raise UsageError(msg)
                parameters = cls(
                    space=EmbeddingSpace(str(stored["model"]), int(stored["dimension"])),
                    shift=int(stored["shift"]),
                    **{name: stored[name] for name in _ARRAYS},
                )
                claimed = str(stored["fingerprint"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            msg = f"{path} is not a readable parameters file: {error}"
            raise UsageError(msg) from error
        if claimed != parameters.fingerprint:
            msg = f"{path} claims fingerprint {claimed}, its contents have {parameters.fingerprint}: it is damaged"
            raise UsageError(msg)
        return parameters


def cosine_table() -> npt.NDArray[np.int16]:
    """``rint(2047 cos(2 pi i / 4096))``, int16[4096].

    No entry lies within 1e-6 of a rounding boundary, so the last bit of a machine's cosine does not matter.
    """
    values = [AMPLITUDE * math.cos(2.0 * math.pi * step / PHASES) for step in range(PHASES)]
    table: npt.NDArray[np.int16] = np.rint(np.asarray(values)).astype(np.int16)
    return table


def random_codebook(space: EmbeddingSpace, seed: str) -> npt.NDArray[np.int8]:
    """Random directions on the grid, int8[256, d]."""
    d = space.dimension
    return to_grid(normal(f"{seed}/codebook/{d}", TOPICS * d).reshape(TOPICS, d), space)


def to_grid(directions: npt.NDArray[np.float64], space: EmbeddingSpace) -> npt.NDArray[np.int8]:
    """Directions scaled to the space's norm and rounded: float64[n, d] to int8[n, d]. Rows must not be zero."""
    lengths = np.sqrt((directions**2).sum(axis=1, keepdims=True))
    grid: npt.NDArray[np.int8] = np.clip(np.rint(directions * (space.scale / lengths)), -127, 127).astype(
        np.int8
    )
    return grid


def _stream(label: str, count: int) -> npt.NDArray[np.uint8]:
    """``count`` bytes of SHAKE-256 of the label."""
    return np.frombuffer(hashlib.shake_256(label.encode()).digest(count), dtype=np.uint8)


def normal(label: str, count: int) -> npt.NDArray[np.float64]:
    """Nearly normal deviates from integers alone: twelve 16-bit numbers added up (Irwin-Hall), unit variance.

    Box-Muller would put a logarithm and a cosine, whose last bits differ between machines, before a rounding.
    The sum's variance is 12 (2**32 - 1) / 12, so dividing by 2**16 standardises it.
    """
    draws = _stream(label, 24 * count).view("<u2").reshape(count, 12)
    centred = 2 * draws.astype(np.int64).sum(axis=1) - 12 * 65535
    deviates: npt.NDArray[np.float64] = centred / float(2**17)
    return deviates


_cache: dict[EmbeddingSpace, Parameters] = {}


def _shipped(space: EmbeddingSpace) -> Parameters:
    """Load once per process: the arrays are read-only."""
    if space not in _cache:
        resource = files("pipeline") / "data" / file_name(space)
        if not resource.is_file():
            msg = (
                f"no parameters are shipped for {space}; make some with Parameters.generate or "
                "`python -m pipeline.fit.parameters` and pass them"
            )
            raise UsageError(msg)
        with as_file(resource) as path:
            _cache[space] = Parameters.load(path)
    return _cache[space]


def file_name(space: EmbeddingSpace) -> str:
    """Name of the shipped file of a space."""
    safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in space.model)
    return f"{safe}-{space.dimension}.npz"
