"""A small lake whose signals can be worked out by hand: for the examples and the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.parameters import Parameters
from pipeline.profiles.schema import CELL_OFFSETS, LIGHT_FIELDS
from pipeline.profiles.table import Profiles
from pipeline.signals.lake.base import LakeAccounts, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def lake(
    axes: Sequence[Sequence[int]],
    *,
    prompts: Sequence[Sequence[int]] | None = None,
    models: Sequence[Sequence[int]] | None = None,
    askable: Mapping[str, Sequence[Mapping[int, int]]] | None = None,
    activity: NDArray[np.int64] | None = None,
) -> LakeAccounts:
    """One account per list; each of its records lies along an axis of the embedding space, an hour apart.

    Parameters
    ----------
    axes
        Axis of each record of each account.
    prompts
        Prompt codes; default: every prompt its own. Sketches hold them as well.
    models
        Model codes; default 0.
    askable
        Counts per cell, account by account.
    activity
        See `LakeAccounts`.
    """
    parameters = Parameters.default()
    blank = Profiles.empty(parameters)
    d, n = parameters.space.dimension, len(axes)
    sizes = [len(each) for each in axes]
    total = sum(sizes)
    owner = np.repeat(np.arange(n), sizes)
    vectors = np.zeros((total, d), np.int8)
    # A little of the last axes tells records along one axis apart, as real prompts differ.
    flat = np.array([axis for each in axes for axis in each], np.int64)
    vectors[np.arange(total), flat % (d // 2)] = 120
    vectors[np.arange(total), d // 2 + np.arange(total) % (d // 2)] += 20
    codes = np.arange(total) if prompts is None else np.array([p for each in prompts for p in each], np.int64)
    place = np.concatenate([np.arange(size) for size in sizes]) if total else np.empty(0, np.int64)
    light = np.zeros((n, blank.light.shape[1]), np.int64)
    light[:, 0] = sizes
    squares = (vectors.astype(np.int64) ** 2).sum(axis=1)
    light[:, LIGHT_FIELDS.index("embedding_norm2")] = np.bincount(owner, weights=squares, minlength=n)
    sums = np.zeros((n, d), np.int64)
    np.add.at(sums, owner, vectors)
    hashes = np.full((n, *blank.hashes.shape[1:]), np.uint64(2**64 - 1))
    for row in range(n):
        mine = np.unique(codes[owner == row]).astype(np.uint64)[:64]
        hashes[row, 0, : len(mine)] = np.sort((mine + np.uint64(1)) << np.uint64(40))
    cells = np.zeros((n, blank.cells.shape[1]), np.int64)
    for name, rows in (askable or {}).items():
        for row, counts in enumerate(rows):
            for cell, count in counts.items():
                cells[row, CELL_OFFSETS[name] + cell] = count
    profiles = Profiles(
        parameters,
        np.array([f"a{row:04d}" for row in range(n)], object),
        np.zeros(n, np.int64),
        light,
        cells,
        sums,
        np.zeros((n, blank.moment.shape[1]), np.int64),
        np.zeros((n, blank.kernel_mean.shape[1]), np.int64),
        hashes,
    )
    model = np.zeros(total, np.int64) if models is None else np.array([m for each in models for m in each])
    sample = Sample(owner, vectors, codes, model.astype(np.int64), place.astype(np.int64) * 3_600_000_000)
    return LakeAccounts(profiles, sample, activity)
