"""A codebook fitted to this lake's own records: spherical k-means in integers, the same on every machine.

The shipped topics are those of public corpora; what a lake is about may lie between them (own experiments).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.profiles.sums import sums_by
from pipeline.signals.lake.neighbours import host_product

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.signals.lake.neighbours import Product

FITTED = 40_000
"""Records that the centres are fitted on, evenly spaced among the sample."""

ROUNDS = 6
PER_CELL = 60
"""Fitted records per centre, so that a small lake has fewer cells."""

MOST, FEWEST = 512, 8
LENGTH = 2000
"""Length of a centre: its product with a grid vector (length 357 at d = 384) stays below 2**24."""

_BLOCK = 8192


def assign(
    vectors: NDArray[np.int8], centres: NDArray[np.float32], product: Product = host_product
) -> NDArray[np.int64]:
    """Cell of each record: the centre with the largest product, ties to the lowest, int64[m]."""
    out = np.zeros(len(vectors), np.int64)
    for low in range(0, len(vectors), _BLOCK):
        out[low : low + _BLOCK] = product(vectors[low : low + _BLOCK].astype(np.float32), centres).argmax(
            axis=1
        )
    return out


def fit_cells(vectors: NDArray[np.int8], product: Product = host_product) -> NDArray[np.float32]:
    """Centres float32[cells, d] with integer coordinates.

    They start at different records chosen by a hash of their coordinates, and move by sums of integers.

    Parameters
    ----------
    vectors
        int8[m, d], in an order that does not depend on arrival.
    product
        Where products run.
    """
    m = len(vectors)
    x = vectors if m <= FITTED else vectors[np.arange(FITTED) * m // FITTED]
    if len(x) == 0:
        return np.zeros((1, vectors.shape[1]), np.float32)
    count = int(np.clip(len(x) // PER_CELL, min(FEWEST, len(x)), MOST))
    names = {row.tobytes() for row in x}
    chosen = sorted(names, key=lambda name: hashlib.blake2b(name, digest_size=16).digest())[:count]
    centres = _scaled(np.stack([np.frombuffer(name, np.int8) for name in chosen]).astype(np.int64))
    whole = x.astype(np.int32)
    for _ in range(ROUNDS):
        cell = assign(x, centres, product)
        # A centre that nobody is nearest to stays where it is.
        present, place = np.unique(cell, return_inverse=True)
        moved = centres.copy()
        moved[present] = _scaled(sums_by(place, whole, len(present)).astype(np.int64))
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _scaled(sums: NDArray[np.int64]) -> NDArray[np.float32]:
    values = sums.astype(np.float64)
    length = np.sqrt((values * values).sum(axis=1, keepdims=True))
    values *= LENGTH / np.maximum(length, 1.0)
    return np.rint(values).astype(np.float32)
