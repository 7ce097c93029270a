"""Regression trees as arrays: their sum, and what each signal adds to it.

A tree asks for one signal's rank at each inner node. The sum of the leaves is the score; walking down a path, each step
moves the mean of the training accounts below it, and that step is credited to the signal that was asked (Saabas, 2014,
treeinterpreter). Steps add up to the leaf exactly, so a score is the sum of its signals' contributions and a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAF = -1
ROWS = 4096


@dataclass(frozen=True, slots=True)
class Trees:
    """Trees laid end to end.

    Parameters
    ----------
    roots
        int32[t], first node of each tree.
    signal
        int16[m], the signal that an inner node asks for, `LEAF` for a leaf.
    threshold
        float32[m]: at most goes left. Ranks are compared as float32.
    left, right
        int32[m], children.
    value
        float64[m], of leaves their part of the score, of inner nodes the mean of their leaves over the training accounts.
    """

    roots: NDArray[np.int32]
    signal: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]

    @property
    def base(self) -> float:
        """Sum of the roots: the score of an account that nothing is known of."""
        return float(self.value[self.roots].sum())

    def scores(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the leaves, float64[n], for ranks float64[n, signals] without NaN."""
        out = np.empty(len(ranks))
        for low in range(0, len(ranks), ROWS):
            block = ranks[low : low + ROWS].astype(np.float32)
            rows = np.arange(len(block))
            total = np.zeros(len(block))
            for root in self.roots.tolist():
                node = np.full(len(block), root, np.int32)
                while (inner := self.signal[node] != LEAF).any():
                    asked = self.signal[node]
                    left = block[rows, np.where(inner, asked, 0)] <= self.threshold[node]
                    node = np.where(inner, np.where(left, self.left[node], self.right[node]), node)
                total += self.value[node]
            out[low : low + ROWS] = total
        return out

    def contributions(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each signal adds, float64[n, signals]; with `base` the rows add up to `scores`."""
        out = np.zeros(ranks.shape)
        for low in range(0, len(ranks), ROWS):
            block = ranks[low : low + ROWS].astype(np.float32)
            for root in self.roots.tolist():
                node = np.full(len(block), root, np.int32)
                rows = np.arange(len(block))
                while len(rows := rows[self.signal[node[rows]] != LEAF]):
                    at = node[rows]
                    asked = self.signal[at]
                    left = block[rows, asked] <= self.threshold[at]
                    after = np.where(left, self.left[at], self.right[at])
                    out[low + rows, asked] += self.value[after] - self.value[at]
                    node[rows] = after
        return out

    def used(self, signals: int) -> NDArray[np.int64]:
        """How many nodes ask for each signal, int64[signals]."""
        return np.bincount(self.signal[self.signal != LEAF], minlength=signals).astype(np.int64)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """By name, for a file."""
        return {
            "roots": self.roots,
            "signal": self.signal,
            "threshold": self.threshold,
            "left": self.left,
            "right": self.right,
            "value": self.value,
        }

    @classmethod
    def joined(cls, trees: Sequence[Trees], weight: float = 1.0) -> Trees:
        """All of them together, each leaf weighed."""
        if not trees:
            none = np.empty(0, np.int32)
            return cls(none, np.empty(0, np.int16), np.empty(0, np.float32), none, none, np.empty(0))
        shift = np.cumsum([0, *(len(each.signal) for each in trees[:-1])]).astype(np.int32)
        return cls(
            np.concatenate([each.roots + by for each, by in zip(trees, shift, strict=True)]),
            np.concatenate([each.signal for each in trees]),
            np.concatenate([each.threshold for each in trees]),
            np.concatenate([each.left + by for each, by in zip(trees, shift, strict=True)]),
            np.concatenate([each.right + by for each, by in zip(trees, shift, strict=True)]),
            np.concatenate([each.value for each in trees]) * weight,
        )
