"""p-values of scores from benign accounts, class by class, shrunk to all of them together.

For class k with weight ``a_k`` (the sum of memberships of the benign accounts that calibrate)::

    p_k(s) = (a_k P_k(S >= s) + STRENGTH P(S >= s)) / (a_k + STRENGTH)
    p(s)   = sum_k m_k p_k(s)

``P_k`` is the survival of the scores weighted by membership in class k, ``P`` that of all of them; beyond a quantile
that leaves `TAIL_ACCOUNTS` accounts (never more than `TAIL_SHARE`) each is a generalised Pareto tail, so that
p-values are as small as a false discovery rate over many thousand accounts needs. A class of few accounts says little
of its own and has the pooled p-value.

Assumes that, given its memberships, a benign account's score is exchangeable with those that calibrate. Where a lake's
benign accounts score higher than their like did there, p-values are too small.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detectors.tail import FLOOR, SHAPES
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

STRENGTH = 50.0
TAIL_SHARE = 0.10
TAIL_ACCOUNTS = 150.0
POINTS = 801
# With fewer accounts (by weight) in its tail a class has no tail of its own.
FEWEST = 30.0


@dataclass(frozen=True, slots=True)
class Survival:
    """``P(S >= s)`` of a weighted sample: steps up to ``start``, a generalised Pareto tail beyond.

    Parameters
    ----------
    quantiles
        float64[801] at even shares from 0 to ``1 - above``.
    above
        Probability of a score over ``start``, the last quantile.
    shape, scale
        Of the tail.
    weight
        Accounts behind it.
    """

    quantiles: Numbers
    above: float
    shape: float
    scale: float
    weight: float

    @property
    def start(self) -> float:
        """Where the tail begins."""
        return float(self.quantiles[-1])

    @classmethod
    def fitted(cls, scores: Numbers, weights: Numbers) -> Survival | None:
        """Fit to weighted scores; None with too little weight.

        The tail by probability-weighted moments (Hosking & Wallis, Technometrics 1987), its shape within `SHAPES`.
        """
        there = weights > 0
        total = float(weights[there].sum())
        if total * TAIL_SHARE < FEWEST:
            return None
        above = min(TAIL_SHARE, max(TAIL_ACCOUNTS, FEWEST) / total)
        order = np.argsort(scores[there], kind="stable")
        ordered, mass = scores[there][order], np.cumsum(weights[there][order]) / total
        wanted = np.linspace(0, 1 - above, POINTS)
        grid = ordered[np.minimum(np.searchsorted(mass, wanted - 1e-9, side="left"), len(ordered) - 1)]
        beyond = ordered > grid[-1]
        excess, each = ordered[beyond] - grid[-1], weights[there][order][beyond]
        held = float(each.sum())
        if held <= 0 or not float(excess.max()) > 0:
            return cls(grid, above, 0.0, 1e-9, total)
        place = (np.cumsum(each) - 0.35 * each) / held
        mean = float((each * excess).sum() / held)
        weighted = float((each * excess * (1 - place)).sum() / held)
        shape = float(np.clip(2 - mean / max(mean - 2 * weighted, 1e-12), *SHAPES))
        return cls(grid, above, shape, max(mean * (1 - shape), 1e-9), total)

    def __call__(self, scores: Numbers) -> Numbers:
        """Probability of such a score or a higher one, never increasing in it."""
        below = np.searchsorted(self.quantiles, scores, side="left") / (len(self.quantiles) - 1)
        middle = np.clip(1 - (1 - self.above) * below, self.above, 1.0)
        over = np.maximum(scores - self.start, 0.0) / self.scale
        if abs(self.shape) < 1e-9:
            tail = np.exp(-over)
        else:
            # Beyond the end of a bounded tail the probability is tiny, not zero: the bound is an estimate.
            tail = np.maximum(1 + self.shape * over, 1e-2) ** (-1 / self.shape)
        found: Numbers = np.where(scores > self.start, np.maximum(self.above * tail, FLOOR), middle)
        return found

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "quantiles": self.quantiles.tolist(),
            "above": self.above,
            "shape": self.shape,
            "scale": self.scale,
            "weight": self.weight,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Survival:
        """What `to_json` gave."""
        quantiles = np.array(value["quantiles"], np.float64)
        return cls(quantiles, value["above"], value["shape"], value["scale"], value["weight"])


@dataclass(frozen=True, slots=True)
class ClassNull:
    """Null distributions of a score: ``pooled``, and one for each class in ``names`` (None: too few accounts)."""

    names: tuple[str, ...]
    pooled: Survival
    each: tuple[Survival | None, ...]
    strength: float = STRENGTH

    @classmethod
    def fitted(
        cls,
        scores: Numbers,
        memberships: Numbers,
        names: Sequence[str],
        *,
        weights: Numbers | None = None,
        strength: float = STRENGTH,
    ) -> ClassNull:
        """Fit to benign accounts.

        Parameters
        ----------
        scores
            float64[n], higher means more like an attack; NaN is passed over.
        memberships
            float64[n, K], columns as ``names``.
        weights
            float64[n], how much each account counts. Default: 1.

        Raises
        ------
        UsageError
            Fewer than 300 scores.
        """
        known = ~np.isnan(scores)
        counted = np.ones(len(scores)) if weights is None else weights
        pooled = Survival.fitted(scores[known], counted[known])
        if pooled is None:
            msg = f"{int(known.sum())} scores calibrate nothing: a tail needs at least {FEWEST / TAIL_SHARE:.0f}; take more worlds"
            raise UsageError(msg)
        each = tuple(
            Survival.fitted(scores[known], (counted[:, None] * memberships)[known, k])
            for k in range(len(names))
        )
        return cls(tuple(names), pooled, each, strength)

    def by_class(self, scores: Numbers) -> Numbers:
        """p-values in each class, float64[n, K]; NaN for NaN."""
        everybody = self.pooled(scores)
        out = np.empty((len(scores), len(self.names)))
        for k, survival in enumerate(self.each):
            if survival is None:
                out[:, k] = everybody
            else:
                share = survival.weight / (survival.weight + self.strength)
                out[:, k] = share * survival(scores) + (1 - share) * everybody
        out[np.isnan(scores)] = np.nan
        return out

    def p_value(self, scores: Numbers, memberships: Numbers) -> Numbers:
        """p-values float64[n] of scores float64[n] with memberships float64[n, K]; NaN for NaN."""
        found: Numbers = (self.by_class(scores) * memberships).sum(axis=1)
        return np.minimum(found, 1.0)

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of everything, in hex."""
        return hashlib.blake2b(
            json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=16
        ).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "names": list(self.names),
            "strength": self.strength,
            "pooled": self.pooled.to_json(),
            "each": [survival.to_json() if survival else None for survival in self.each],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClassNull:
        """What `to_json` gave."""
        each = tuple(Survival.from_json(one) if one else None for one in value["each"])
        return cls(tuple(value["names"]), Survival.from_json(value["pooled"]), each, value["strength"])
