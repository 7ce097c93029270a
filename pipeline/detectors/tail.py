"""How likely a score is in a population: from its ranks, and beyond them from a fitted tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A tail fitted heavier than exponential is believed, a lighter one (a bounded score) is not: that would be bold.
SHAPES = (0.0, 0.5)


@dataclass(frozen=True, slots=True)
class ParetoTail:
    """``P(score > s) = above (1 + shape (s - start) / scale)^(-1 / shape)`` for s over ``start``.

    The generalised Pareto tail (Pickands 1975), its parameters by probability-weighted moments (Hosking &
    Wallis, Technometrics 1987), the shape kept within `SHAPES`.
    """

    start: float
    above: float
    shape: float
    scale: float

    @classmethod
    def fitted(cls, scores: NDArray[np.float64], low: float, high: float = 1.0) -> ParetoTail:
        """Fit between two quantiles of the scores, half open: what lies above ``high`` is left out.

        Leaving the highest scores out keeps undetected attackers from hiding behind themselves: up to a share
        of ``1 - high`` of the population may be attacking. What is left out is not censored in the fit, so the
        scale is estimated from excesses truncated at the high quantile, corrected by `_untruncated`.
        """
        ordered = np.sort(scores)
        start, stop = np.quantile(ordered, [low, high])
        excess = ordered[(ordered > start) & (ordered <= stop)] - start
        if len(excess) < 10 or excess.max() <= 0:
            return cls(float(start), 1 - low, 0.0, max(float(np.std(ordered)), 1e-9))
        if high >= 1.0:
            n = len(excess)
            mean = excess.mean()
            weighted = float((excess * (1 - (np.arange(1, n + 1) - 0.35) / n)).mean())
            shape = 2 - mean / max(mean - 2 * weighted, 1e-12)
            scale = 2 * mean * weighted / max(mean - 2 * weighted, 1e-12)
            bounded = float(np.clip(shape, *SHAPES))
            # With another shape, the scale that keeps the mean: mean = scale / (1 - shape).
            scale = scale if bounded == shape else float(mean) * (1 - bounded)
            return cls(float(start), 1 - low, bounded, max(float(scale), 1e-9))
        kept = (high - low) / (1 - low)
        return cls(float(start), 1 - low, 0.0, _untruncated(excess, kept))

    def p_value(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a larger score; only for scores over ``start`` (others get ``above``)."""
        over = np.maximum(scores - self.start, 0.0) / self.scale
        if self.shape < 1e-9:
            return self.above * np.exp(-over)
        return self.above * (1 + self.shape * over) ** (-1 / self.shape)


def _untruncated(excess: NDArray[np.float64], kept: float) -> float:
    """Scale of an exponential of which only the lowest share ``kept`` was seen.

    Its quantile at ``kept`` is the largest excess seen: ``scale = max / -ln(1 - kept)``; and the mean of what is
    below it gives a second estimate. The larger one is taken: a wider tail accuses fewer.
    """
    cut = -math.log(1 - kept)
    by_edge = float(excess.max()) / cut
    # Mean of a unit exponential truncated at `cut`.
    mean_below = float(1 - cut * (1 - kept) / kept)
    return max(by_edge, float(excess.mean() / mean_below), 1e-9)
