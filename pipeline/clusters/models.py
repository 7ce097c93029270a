"""The figures that ship with clusters: how pairs and groups are weighed, and the groups they were calibrated on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.clusters.curves import Curves
from pipeline.detectors.forest.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FILE = "clusters.json"
SURE_TIES = (1.0, 2.0, 4.0)
"""Mean log odds of a group's edges at which parts of the null begin."""

MISSING = -100.0
"""What a tree sees of a number that is not there."""

_TYPES = {
    "roots": np.int32,
    "signal": np.int16,
    "threshold": np.float32,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
}


@dataclass(frozen=True, slots=True)
class GroupTrees:
    """Boosted shallow trees on the numbers of a group, ``names`` in the order of the trees' numbers."""

    names: tuple[str, ...]
    trees: Trees

    @staticmethod
    def matrix(names: tuple[str, ...], numbers: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """float64[n, names], `MISSING` where there is no number."""
        return np.stack([np.nan_to_num(numbers[name], nan=MISSING) for name in names], axis=1)

    def score(self, numbers: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Log odds, float64[n], nine decimals."""
        found: NDArray[np.float64] = np.round(self.trees.scores(self.matrix(self.names, numbers)), 9)
        return found

    def parts(self, numbers: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """What each number adds to ``trees.base``, float64[n] each; they add up to the score."""
        found = self.trees.contributions(self.matrix(self.names, numbers))
        return {name: np.round(found[:, i], 9) for i, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        arrays = {name: array.tolist() for name, array in self.trees.arrays().items()}
        return {"names": list(self.names), **arrays}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GroupTrees:
        """What `to_json` gave."""
        arrays: dict[str, Any] = {name: np.array(value[name], kind) for name, kind in _TYPES.items()}
        return cls(tuple(value["names"]), Trees(**arrays))


@cache
def shipped() -> dict[str, Any]:
    """What ``python -m pipeline.fit.clusters`` wrote."""
    value: dict[str, Any] = json.loads((files("pipeline.data") / FILE).read_text())
    return value


@cache
def shipped_pairs() -> Curves:
    """Log odds that two accounts have one operator."""
    return Curves.from_json(shipped()["pairs"])


@cache
def shipped_groups() -> GroupTrees:
    """Log odds that a group attacks."""
    return GroupTrees.from_json(shipped()["groups"])


@dataclass(frozen=True, slots=True)
class GroupNull:
    """Benign groups that the same procedure found in other worlds: ``likeness`` and ``score``, float64[m] each.

    A group is held against those with as sure ties as its own (Mondrian conformal prediction, Vovk et al., Machine
    Learning 50, 2003). Fleets, whose ties are sure, are ordered and easily told from an attack; strangers that look
    alike by chance have weak ties and any score. Together the one kind would make the other look rare, in lakes that have
    few of one of them.
    """

    likeness: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    @staticmethod
    def part_of(likeness: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which part of the null a group is held against, int64[k]: by `SURE_TIES`."""
        return np.searchsorted(SURE_TIES, likeness, side="right")

    def part(self, number: int) -> NDArray[np.float64]:
        """Scores of one part, ascending."""
        return np.sort(self.score[self.part_of(self.likeness) == number])

    def to_json(self) -> dict[str, list[float]]:
        """Plain numbers."""
        return {
            "likeness": [round(float(each), 4) for each in self.likeness],
            "score": [round(float(each), 4) for each in self.score],
        }


@cache
def shipped_null() -> GroupNull:
    """What p-values of groups are read from."""
    null = shipped()["null"]
    return GroupNull(np.array(null["likeness"], np.float64), np.array(null["score"], np.float64))
