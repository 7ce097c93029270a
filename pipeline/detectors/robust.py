"""A scorecard on ranks: each signal's place in the population adds or takes evidence.

Score of an account: ``sum over signals of c_s(u_s)``, where ``u_s`` is the mid-rank of signal s in the reference
population and ``c_s`` a piecewise linear curve, in nats of log-odds, whose mean over uniform ranks is 0. A signal
without a value adds nothing. The curves are fitted by ``python -m pipeline.fit.reference`` on simulated worlds and
ship as ``pipeline/data/scorecard.json``, where a curve can be read: at which ranks a signal speaks for an attack.
Ranks, not values, because they carry over to other populations.

p-value, judged by the shipped reference: the share of benign simulated accounts with such a score or a higher one,
beyond their 98 % quantile by a generalised Pareto tail. Judged by a lake's own population: the geometric mean of that
and of the lake's own normal tail, fitted to the middle of its scores (so some of the lake may be attacking).
Assumes that benign accounts are exchangeable with the simulated ones given their ranks; where a lake has kinds of
benign accounts that were never simulated, it is too small. Evidence, never proof.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detectors.base import Judgement, scorable
from pipeline.detectors.fdr import q_values
from pipeline.detectors.reference import Distribution, Reference
from pipeline.detectors.tail import NormalTail, ParetoTail
from pipeline.signals.base import Population

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.signals import SignalTable

SCORECARD_FILE = Path(__file__).parents[1] / "data" / "scorecard.json"
REFERENCE_FILE = Path(__file__).parents[1] / "data" / "reference.json"

KNOTS = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
LAKE = "lake"
NULL_START = 0.98
TRIM_FDR = 0.2
TRIM_SHARE = 0.12
TRIM_ROUNDS = 3
# Signals with a value must carry this share of the scorecard's weight, else nothing is said.
MIN_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The fitted part.

    Parameters
    ----------
    curves
        For each signal, contributions float64[9] at `KNOTS`.
    null
        Scores of benign simulated accounts judged by their own world's ranks.
    fitted
        What it was fitted on: seeds, settings, counts.
    """

    curves: Mapping[str, NDArray[np.float64]]
    null: Distribution
    fitted: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of curves and null, in hex."""
        return hashlib.blake2b(
            json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=16
        ).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "knots": list(KNOTS),
            "curves": {name: curve.tolist() for name, curve in self.curves.items()},
            "null": {
                "quantiles": self.null.quantiles.tolist(),
                "accounts": self.null.accounts,
                "missing": self.null.missing,
            },
            "fitted": dict(self.fitted),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scorecard:
        """What `to_json` gave."""
        null = value["null"]
        return cls(
            {name: np.array(curve, np.float64) for name, curve in value["curves"].items()},
            Distribution(np.array(null["quantiles"], np.float64), null["accounts"], null["missing"]),
            value["fitted"],
        )


SHIPPED_MARGIN = 4.0
"""How many times too small p-values by the shipped population may be elsewhere: three times in worlds that nothing was fitted
to (`distillwatch evaluate --protocol looks`: .6 % ever accused where .2 % was to be spent), rounded up."""


class RobustDetector:
    """The scorecard as a detector.

    Parameters
    ----------
    scorecard
        Default: the shipped one.
    """

    name = "robust"

    def __init__(self, scorecard: Scorecard | None = None) -> None:
        self.scorecard = scorecard or shipped_scorecard()
        self.fingerprint = self.scorecard.fingerprint
        self._weight = {
            name: float(np.sqrt(_mean_square(curve))) for name, curve in self.scorecard.curves.items()
        }

    def reference(self, name: str, table: SignalTable, population: Population | None = None) -> Reference:
        """A population's own reference: ranks of its scorable accounts, and the scores that these give.

        Attackers in a lake make its benign accounts look ordinary and themselves less extreme. So those that would be
        in an alert list of rate `TRIM_FDR` are left out and the rest is ranked anew, at most `TRIM_ROUNDS` times and
        never more than `TRIM_SHARE` of the accounts. In lakes without attackers that leaves out next to nobody.
        """
        everybody = table.take(scorable(table))
        kept = everybody
        for _ in range(TRIM_ROUNDS):
            reference = self._untrimmed(name, kept, population)
            q = q_values(self.judge(everybody, reference).p_value)
            listed = np.nan_to_num(q, nan=1.0) <= TRIM_FDR
            if not listed.any() or listed.mean() > TRIM_SHARE or (~listed).sum() == len(kept):
                return reference
            kept = everybody.take(~listed)
        return self._untrimmed(name, kept, population)

    def _untrimmed(self, name: str, table: SignalTable, population: Population | None) -> Reference:
        ranks = Reference.of(name, table, population or Population.empty())
        return ranks.with_scores(self.scores(table, ranks)[0])

    def scores(
        self, table: SignalTable, reference: Reference
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Scores, ranks and contributions, without p-values."""
        ranks, parts = {}, {}
        known = np.zeros(len(table))
        total = np.zeros(len(table))
        for name, curve in self.scorecard.curves.items():
            values = table.columns.get(name)
            distribution = reference.signals.get(name)
            if values is None or distribution is None:
                rank = np.full(len(table), np.nan)
            else:
                rank = distribution.rank(values)
            there = ~np.isnan(rank)
            part = np.where(there, np.interp(np.where(there, rank, 0.5), KNOTS, curve), 0.0)
            ranks[name], parts[name] = rank, part
            known += there * self._weight[name]
            total += part
        enough = scorable(table) & (known >= MIN_WEIGHT * sum(self._weight.values()))
        return np.where(enough, total, np.nan), ranks, parts

    def judge(self, table: SignalTable, reference: Reference) -> Judgement:
        """Judge accounts by a reference made with `reference`."""
        score, ranks, parts = self.scores(table, reference)
        return Judgement(score, self._p_values(score, reference), ranks, parts)

    def _p_values(self, score: NDArray[np.float64], reference: Reference) -> NDArray[np.float64]:
        out = np.full(len(score), np.nan)
        known = ~np.isnan(score)
        if not known.any():
            return out
        if not self.scorecard.null.accounts:
            return out
        if reference.name != LAKE:
            if reference.score is not None and reference.score.accounts:
                out[known] = null_p_values(score[known], reference.score)
            return out
        out[known] = null_p_values(score[known], self.scorecard.null)
        if reference.score is not None and reference.score.accounts:
            own = NormalTail.fitted(reference.score.quantiles).p_value(score[known])
            out[known] = np.sqrt(out[known] * own)
        return out


def null_p_values(score: NDArray[np.float64], null: Distribution) -> NDArray[np.float64]:
    """Share of a benign population with such a score or a higher one; beyond its 98 % quantile a fitted tail."""
    tail = ParetoTail.fitted(null.quantiles, NULL_START)
    return np.where(score > tail.start, tail.p_value(score), np.maximum(1 - null.rank(score), tail.above))


def _mean_square(curve: NDArray[np.float64]) -> float:
    """Of a piecewise linear curve over uniform ranks."""
    grid = np.linspace(0, 1, 401)
    return float((np.interp(grid, KNOTS, curve) ** 2).mean())


@cache
def shipped_scorecard() -> Scorecard:
    """The one in `pipeline/data`."""
    return Scorecard.from_json(json.loads(SCORECARD_FILE.read_text()))


@cache
def shipped_references() -> dict[str, Reference]:
    """``shipped`` for whole accounts, and ``shipped-50``, ``shipped-100``, … for looks at the first records."""
    value = json.loads(REFERENCE_FILE.read_text())
    return {name: Reference.from_json(each) for name, each in value["references"].items()}
