"""Where prompts lie: a fixed linear projection of the embedding space, and what of it is harvested or ordinary content.

The plane is that of the two first principal components of the topic centres of eleven public corpora, which ship with the
package (`pipeline/data/topics.npz`, each corpus weighing the same). It does not depend on any lake, so pictures of
different cases can be laid on one another. In a lake of another embedding space there are no such centres: its plane is
that of its own unremarkable accounts, and there is no reference beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.signals.content import reference_content
from pipeline.simulate.content import TOPICS_FILE

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.spaces import EmbeddingSpace

    Floats = NDArray[np.float64]

SHIPPED = "topic centres of eleven public corpora, shipped with the package"
OWN = "prompts of unremarkable accounts of this lake"


@dataclass(frozen=True, slots=True)
class Centre:
    """One topic of a reference corpus: where it lies, which share of its corpus it has, whether that is harvested."""

    corpus: str
    harvested: bool
    weight: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Plane:
    """Two directions and what they were made from.

    ``mean`` float64[d] is subtracted from a unit vector, ``axes`` float64[2, d] are orthonormal; ``shown`` is the share
    of the variance of what the plane was made from.
    """

    made_from: str
    mean: Floats
    axes: Floats
    shown: float
    centres: tuple[Centre, ...]

    def __call__(self, vectors: NDArray[np.int8]) -> Floats:
        """Places float64[n, 2] of grid vectors int8[n, d]."""
        # Rounded where a sum's last digits depend on how a machine adds: the places are kept and compared.
        places: Floats = np.round((_unit(vectors) - self.mean) @ self.axes.T, 6) + 0.0
        return places

    def variance(self, vectors: NDArray[np.int8]) -> float:
        """Share of the variance of these vectors that the plane shows; NaN of fewer than two."""
        if len(vectors) < 2:
            return float("nan")
        centred = _unit(vectors)
        centred = centred - centred.mean(0)
        whole = float((centred**2).sum())
        return round(float(((centred @ self.axes.T) ** 2).sum()) / whole, 6) if whole else float("nan")


def grid(column: pa.ChunkedArray, dimension: int) -> NDArray[np.int8]:
    """Vectors int8[n, d] of a column of ``embedding``."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, np.int8).reshape(len(column), dimension)


def plane_of(space: EmbeddingSpace, background: NDArray[np.int8]) -> Plane:
    """The plane for a lake: the shipped one where its embeddings are those, else that of ``background``."""
    if reference_content().fits(space):
        return shipped_plane()
    unit = _unit(background) if len(background) > 2 else np.eye(space.dimension)
    mean, axes, shown = _components(unit, np.full(len(unit), 1 / len(unit)))
    return Plane(OWN, mean, axes, shown, ())


@cache
def shipped_plane() -> Plane:
    """The plane of the default embedding space."""
    with np.load(TOPICS_FILE, allow_pickle=False) as stored:
        sources = [str(name) for name in stored["sources"]]
        which, weight = stored["component_source"], stored["weight"].astype(np.float64)
        unit = _unit(stored["centroid"])
    mean, axes, shown = _components(unit, weight / weight.sum())
    places = np.round((unit - mean) @ axes.T, 6) + 0.0
    harvested = set(reference_content().harvests)
    centres = tuple(
        Centre(sources[s], sources[s] in harvested, round(float(w), 6), float(x), float(y))
        for s, w, (x, y) in zip(which.tolist(), weight.tolist(), places, strict=True)
    )
    return Plane(SHIPPED, mean, axes, shown, centres)


def _unit(vectors: NDArray[Any]) -> Floats:
    real = vectors.astype(np.float64)
    norm = np.linalg.norm(real, axis=1, keepdims=True)
    unit: Floats = real / np.where(norm > 0, norm, 1)
    return unit


def _components(unit: Floats, weight: Floats) -> tuple[Floats, Floats, float]:
    """Weighted mean, the two first principal axes, and the share of variance they show."""
    mean = weight @ unit
    centred = (unit - mean) * np.sqrt(weight)[:, None]
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    two = axes[:2]
    # The sign of an axis is the library's choice; the largest coordinate is made positive.
    two = two * np.sign(two[np.arange(len(two)), np.abs(two).argmax(1)])[:, None]
    return mean, two, round(float((size[:2] ** 2).sum() / (size**2).sum()), 6)
