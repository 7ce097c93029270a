"""Embedding spaces and the integer grid on which every vector lives.

The grid of one space: ``q = clip(rint(x * 127 * sqrt(d) / 7), -127, 127)`` for a unit vector ``x`` of
dimension ``d``. A product of two grid vectors is an integer below 2**24 for d up to 3,072 and beyond, so a
float32 matrix product of them is exact in any order, blocking, thread count and on any hardware.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_DIMENSION = 384


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """One embedding model at one dimension; profiles of different spaces never merge.

    Parameters
    ----------
    model
        Name of the embedding model, as records carry it in ``embedding_model``.
    dimension
        Number of coordinates, 8 to 4,096.
    """

    model: str = DEFAULT_MODEL
    dimension: int = DEFAULT_DIMENSION

    def __post_init__(self) -> None:
        if not 8 <= self.dimension <= 4096:
            msg = f"dimension is {self.dimension}; an embedding space has 8 to 4096 dimensions"
            raise ValueError(msg)

    @property
    def scale(self) -> float:
        """Grid steps per unit: ``127 * sqrt(d) / 7``."""
        return 127.0 * math.sqrt(self.dimension) / 7.0

    @property
    def norm2(self) -> float:
        """Expected squared norm of a grid vector, ``scale ** 2`` (about 329 d)."""
        return self.scale**2

    def __str__(self) -> str:
        return f"{self.model} (d={self.dimension})"
