"""The figures of the report: areas, rates at a threshold, queues, intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata, t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def area(score: NDArray[np.float64], attack: NDArray[np.bool_]) -> float:
    """Probability that an attacker stands above a benign account (Mann & Whitney); NaN without one of them."""
    positive = int(attack.sum())
    negative = len(attack) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[attack].sum() - positive * (positive + 1) / 2) / (positive * negative))


def ranked(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores that can be compared: without a score an account stands last."""
    return np.where(np.isnan(score), -np.inf, score)


def benign_tail(score: NDArray[np.float64], attack: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the world's benign accounts that stand as high as each account or higher, in (0, 1].

    A threshold of .01 on it accuses at most 1 % of the benign accounts, and means the same in every world. Ties count
    against the detector: an account that shares its score with many is not found without accusing them all.
    """
    ordered = np.sort(ranked(score)[~attack])
    above = len(ordered) - np.searchsorted(ordered, ranked(score), side="left")
    tail: NDArray[np.float64] = above / max(1, len(ordered))
    return np.where(np.isnan(score), 1.0, tail)


def threshold_per_class(tail: NDArray[np.float64], benign_class: NDArray[np.object_], rate: float) -> float:
    """The largest threshold on `benign_tail` of benign accounts at which no class is accused above ``rate``.

    Below 1 / rate accounts a class allows nobody, so pool the worlds first.
    """
    lowest = math.inf
    for name in sorted(set(benign_class)):
        values = np.sort(tail[benign_class == name])
        allowed = math.floor(rate * len(values))
        if allowed < len(values):
            # Strictly below the first one too many.
            lowest = min(lowest, float(np.nextafter(values[allowed], -1.0)))
    return lowest


def queue_recall(score: NDArray[np.float64], attack: NDArray[np.bool_], share: float) -> float:
    """Share of the attackers that stand among the first ``share`` of the accounts; NaN in a world without any."""
    places = max(1, round(share * len(score)))
    order = np.argsort(-ranked(score), kind="stable")[:places]
    return float(attack[order].sum() / attack.sum()) if attack.any() else float("nan")


def queue_precision(score: NDArray[np.float64], attack: NDArray[np.bool_], places: int) -> float:
    """Share of attackers among the first ``places`` accounts; NaN in a world without any."""
    order = np.argsort(-ranked(score), kind="stable")[:places]
    return float(attack[order].mean()) if attack.any() else float("nan")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with its 95 % interval; ``count`` of ``of`` where it is a share of accounts."""

    value: float
    low: float
    high: float
    count: int | None = None
    of: int | None = None
    per_seed: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; NaN is null."""
        found = {"value": self.value, "low": self.low, "high": self.high, "count": self.count, "of": self.of}
        out: dict[str, Any] = {
            k: (None if isinstance(v, float) and math.isnan(v) else v)
            for k, v in found.items()
            if v is not None
        }
        out["per_seed"] = [None if math.isnan(v) else round(v, 5) for v in self.per_seed]
        return out


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean and Student's interval over worlds, cut to [0, 1]; NaN worlds are left out."""
    known = np.array([v for v in values if not math.isnan(v)])
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan, per_seed=tuple(values))
    half = _half_width(known)
    mean = float(known.mean())
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), per_seed=tuple(values))


def share_over_seeds(counts: Sequence[tuple[int, int]]) -> Estimate:
    """A share of accounts, pooled, its interval the wider one of Wilson's and of Student's over worlds.

    ``counts`` holds (hits, accounts) per world. The latter is that of a ratio of sums over clusters (Cochran, Sampling
    Techniques, 1977, 6.4): a world with two such accounts must not count as much as one with fifty.
    """
    hits, total = sum(h for h, _ in counts), sum(n for _, n in counts)
    per_seed = tuple(h / n if n else math.nan for h, n in counts)
    if not total:
        return Estimate(math.nan, math.nan, math.nan, 0, 0, per_seed)
    rate = hits / total
    low, high = wilson(hits, total)
    off = np.array([h - rate * n for h, n in counts if n])
    half = 0.0
    if len(off) > 1:
        spread = math.sqrt(len(off) / (len(off) - 1) * float((off**2).sum())) / total
        half = float(t.ppf(0.975, len(off) - 1)) * spread
    return Estimate(
        rate, max(0.0, min(low, rate - half)), min(1.0, max(high, rate + half)), hits, total, per_seed
    )


def _half_width(values: NDArray[np.float64]) -> float:
    if len(values) < 2:
        return 0.0
    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 22, 1927)."""
    z = 1.959964
    rate = hits / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)
