"""How likely a score is in a population, where its ranks are too coarse to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray

# No fit knows more than this.
FLOOR = 1e-15
# A sum of bounded curves is bounded, so the shape may be negative; not by much, for that would be bold.
SHAPES = (-0.2, 0.5)


@dataclass(frozen=True, slots=True)
class ParetoTail:
    """``P(score > s) = above (1 + shape (s - start) / scale)^(-1 / shape)`` for s over ``start``.

    The generalised Pareto tail (Pickands, Ann. Stat. 1975), its parameters by probability-weighted moments
    (Hosking & Wallis, Technometrics 1987), the shape kept within `SHAPES`.
    """

    start: float
    above: float
    shape: float
    scale: float

    @classmethod
    def fitted(
        cls, scores: NDArray[np.float64], low: float, shapes: tuple[float, float] = SHAPES
    ) -> ParetoTail:
        """Fit to the scores over their quantile ``low``, with a shape between ``shapes``."""
        ordered = np.sort(scores)
        start = float(np.quantile(ordered, low))
        excess = ordered[ordered > start] - start
        n = len(excess)
        if n < 10:
            return cls(start, 1 - low, 0.0, max(float(np.std(ordered)), 1e-9))
        mean = float(excess.mean())
        weighted = float((excess * (1 - (np.arange(1, n + 1) - 0.35) / n)).mean())
        shape = float(np.clip(2 - mean / max(mean - 2 * weighted, 1e-12), *shapes))
        # With a shape that was kept within bounds, the scale that keeps the mean: mean = scale / (1 - shape).
        return cls(start, 1 - low, shape, max(mean * (1 - shape), 1e-9))

    def p_value(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a larger score, for scores over ``start`` (others get ``above``)."""
        over = np.maximum(scores - self.start, 0.0) / self.scale
        if abs(self.shape) < 1e-9:
            return np.maximum(self.above * np.exp(-over), FLOOR)
        # Beyond the end of a bounded tail the probability is tiny, not zero: the bound is an estimate.
        inside = np.maximum(1 + self.shape * over, 1e-2)
        return np.maximum(self.above * inside ** (-1 / self.shape), FLOOR)


@dataclass(frozen=True, slots=True)
class NormalTail:
    """A normal distribution fitted to the middle of a population, so that its attackers hardly move it.

    ``centre`` is the median; ``scale`` the larger of what the 75 % and the 85 % quantile say. Up to 6 % of attackers
    at the top make it a little wider, which accuses fewer. Near enough because a score is a sum of some twenty
    bounded parts; how near is measured on left-out worlds by ``python -m pipeline.fit.reference``.
    """

    centre: float
    scale: float

    @classmethod
    def fitted(cls, scores: NDArray[np.float64]) -> NormalTail:
        """Fit to scores, or to evenly spaced quantiles of them."""
        middle, three_quarters, more = np.quantile(scores, [0.5, 0.75, 0.85])
        scale = max((three_quarters - middle) / 0.67449, (more - middle) / 1.03643, 1e-9)
        return cls(float(middle), float(scale))

    def p_value(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a larger score."""
        found: NDArray[np.float64] = ndtr(-(scores - self.centre) / self.scale)
        return np.maximum(found, FLOOR)
