"""A fitted forest with everything that judging needs, as one file.

``pipeline/data/forest.npz`` is made by ``python -m pipeline.fit.forest``; an operator's own by ``distillwatch refit``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detectors.forest.trees import Trees
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FOREST_FILE = Path(__file__).parents[2] / "data" / "forest.npz"
NEUTRAL = 0.5
"""Rank of a signal without a value."""


@dataclass(frozen=True)
class Forest:
    """Trees, the signals they ask for, and scores of benign accounts to hold a score against.

    Parameters
    ----------
    names
        Signals, in the order of the trees' numbers.
    trees
        Fitted to ranks within each account's own world.
    null
        float64[k], ascending: scores of benign accounts of simulated worlds, each by trees fitted without its world.
    null_class
        int16[k], the kind of each, as a place in ``classes``.
    classes
        Names of the benign kinds of the worlds.
    fitted
        What it was fitted on: settings, seeds, counts, versions.
    """

    names: tuple[str, ...]
    trees: Trees
    null: NDArray[np.float64]
    null_class: NDArray[np.int16]
    classes: tuple[str, ...]
    fitted: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 over everything in it, in hex."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        head = json.dumps([self.names, self.classes, dict(self.fitted)], sort_keys=True).encode()
        return {
            "head": np.frombuffer(head, np.uint8),
            "null": self.null,
            "null_class": self.null_class,
            **self.trees.arrays(),
        }

    def save(self, path: Path) -> None:
        """Write it; equal forests give equal arrays."""
        arrays: dict[str, Any] = self._arrays()
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Forest:
        """Read what `save` wrote.

        Raises
        ------
        UsageError
            The file is not there, or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            names, classes, fitted = json.loads(arrays.pop("head").tobytes())
            null, null_class = arrays.pop("null"), arrays.pop("null_class")
            return cls(tuple(names), Trees(**arrays), null, null_class, tuple(classes), fitted)
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{path} is not a fitted forest ({error}); make one with `distillwatch refit` or leave --model out"
            raise UsageError(msg) from error

    def matrix(self, ranks: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Ranks by name as float64[n, signals], neutral where there is no value."""
        columns = [np.nan_to_num(ranks[name], nan=NEUTRAL) for name in self.names]
        return np.stack(columns, axis=1)


@cache
def shipped_forest() -> Forest:
    """The one in `pipeline/data`."""
    return Forest.load(FOREST_FILE)
