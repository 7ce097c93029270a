"""The forest as a detector: ranks in the lake, a sum of trees, and a p-value that two populations must agree on.

Score of an account: the log-odds that boosted trees give its mid-ranks within the reference population; a signal without
a value has the middle rank. What the trees were fitted to are simulated worlds with habits drawn anew in each
(`pipeline.fit.wild`), so a score means "like the harvests there, unlike the honest accounts there".

p-value: from ``sqrt(p p')``. p is the share of benign accounts of other worlds, *of its class*, with such a score or a higher
one, judged by trees that had not seen their world (`pipeline.classes.calibration`; conformal: valid if the lake's benign
accounts are exchangeable with the worlds' of their class). p' is that share of *all* of them for scores standardised in
their own population (median to 85 % quantile, which a few per cent of attackers do not reach): a lake whose honest
accounts all score higher than the worlds' did is forgiven, one whose accounts all score lower is looked at more closely.
The mean of two p-values is none, so what is published is how often benign accounts of whole worlds, which neither trees nor
nulls were fitted on, had such a mean or a smaller one, times a margin for what differs from lake to lake
(`pipeline.fit.agreement`). Each of these steps assumes that this
lake's honest accounts are like the worlds'; one with benign kinds that no world had breaks it (decision 0009).

The reference: attackers in a lake make its honest accounts look ordinary and themselves less extreme, and the more so the
more of them there are. Those that stand out at first are left out, and the rest is what everybody is ranked in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.classes.classes import shipped_classes
from pipeline.detectors.base import Judgement, scorable
from pipeline.detectors.fdr import q_values
from pipeline.detectors.forest.model import middle, shipped_forest
from pipeline.detectors.reference import Reference
from pipeline.signals.base import Population
from pipeline.signals.every import DETAILS
from pipeline.signals.table import SignalTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.detectors.forest.model import Forest

DIGITS = 9
# Signals that have a value must be this share of those that the trees ask for, else nothing is said.
MIN_KNOWN = 0.4
# Accounts that stand out are left out of the reference: those in a list of this rate by the plain mean of the two p-values,
# unless that were more of the lake than any campaign was.
TRIM_FDR = 0.05
TRIM_SHARE = 0.15


class ForestDetector:
    """Judges by a fitted forest.

    Parameters
    ----------
    forest
        Default: the shipped one.
    """

    name = "forest"

    def __init__(self, forest: Forest | None = None) -> None:
        self.forest = forest or shipped_forest()
        self.fingerprint = self.forest.fingerprint
        used = self.forest.trees.used(len(self.forest.names)).astype(np.float64)
        self._use = used / max(used.sum(), 1.0)
        # Memberships in other classes than those of the null mean nothing to it: then all accounts are of one.
        self._classes = shipped_classes() if shipped_classes().fingerprint == self.forest.classes else None

    def reference(self, name: str, table: SignalTable, population: Population | None = None) -> Reference:
        """A population's own reference: how its scorable accounts are distributed in each signal, and their scores.

        Without those that stand out at first; in a lake without attackers that is next to nobody.
        """
        everybody = table.take(scorable(table))
        reference = Reference.of(name, everybody, population or Population.empty())
        score, known, *_ = self._scores(everybody, reference)
        reference = reference.with_scores(score)
        some = everybody.take(known)
        first = self._mean(score[known], self.memberships(some, reference), reference)
        # Accounts without a score have a place in the ranks, and in the list as in `judge`.
        p_value = np.where(self._shallow(everybody), 1.0, np.nan)
        p_value[known] = first
        out = np.nan_to_num(q_values(p_value), nan=1.0) <= TRIM_FDR
        if not out.any() or out.mean() > TRIM_SHARE:
            return reference
        rest = everybody.take(~out)
        reference = Reference.of(name, rest, population or Population.empty())
        return reference.with_scores(self._scores(rest, reference)[0])

    def judge(self, table: SignalTable, reference: Reference) -> Judgement:
        """Judge accounts by a reference."""
        score, known, matrix, ranks = self._scores(table, reference)
        # Accounts of a large lake that were not read in detail stood out in nothing: they count in the list, at the end.
        p_value = np.where(scorable(table) & self._shallow(table), 1.0, np.nan)
        kept = table.take(known)
        p_value[known] = self._p_values(score[known], self.memberships(kept, reference), reference)
        parts = np.zeros((len(table), matrix.shape[1]))
        parts[known] = np.round(self.forest.trees.contributions(matrix), DIGITS)
        return Judgement(
            score,
            p_value,
            ranks,
            {name: parts[:, place] for place, name in enumerate(self.forest.names)},
        )

    def _scores(
        self, table: SignalTable, reference: Reference
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Scores (NaN where nothing can be said), the rows that have one, the trees' matrix of these, ranks by signal."""
        nothing = np.full(len(table), np.nan)
        ranks = {}
        for name in self.forest.names:
            values, distribution = table.columns.get(name), reference.signals.get(name)
            ranks[name] = nothing if values is None or distribution is None else distribution.rank(values)
        there = np.stack([~np.isnan(ranks[name]) for name in self.forest.names], axis=1)
        usable = np.flatnonzero(scorable(table) & (there @ self._use >= MIN_KNOWN))
        # Most accounts of a large lake are not usable: they cost nothing here.
        matrix = self.forest.matrix({name: ranks[name][usable] for name in self.forest.names})
        # Sums of a thousand leaves: the last digits depend on nothing but the order, and are cut off all the same.
        score = nothing.copy()
        score[usable] = np.round(self.forest.trees.scores(matrix), DIGITS)
        return score, usable, matrix, ranks

    def _shallow(self, table: SignalTable) -> NDArray[np.bool_]:
        """Accounts with values of profile signals and of no others: they were not read in detail."""
        nothing = np.zeros(len(table), bool)
        known = {name: ~np.isnan(table.columns[name]) for name in self.forest.names if name in table.columns}
        deep = np.any([nothing, *(there for name, there in known.items() if name in DETAILS)], axis=0)
        shallow = np.any([nothing, *(there for name, there in known.items() if name not in DETAILS)], axis=0)
        return np.asarray(shallow & ~deep)

    def memberships(self, table: SignalTable, reference: Reference) -> NDArray[np.float64] | None:
        """Whose like each account is among the shipped classes, float64[n, classes]; None without classes."""
        if self._classes is None:
            return None
        names = [name for name in self._classes.space if name in table.columns and name in reference.signals]
        ranks = {name: reference.signals[name].rank(table.columns[name]) for name in names}
        return self._classes.assign(SignalTable(table.account_id, table.records, ranks))

    def _p_values(
        self, score: NDArray[np.float64], memberships: NDArray[np.float64] | None, reference: Reference
    ) -> NDArray[np.float64]:
        mean = self._mean(score, memberships, reference)
        if self.forest.agreed is None or not self._standardises(reference):
            return mean
        # A mean of 0 has no logarithm; nulls stop at their floor long before.
        agreed = self.forest.agreed(-np.log(np.maximum(mean, np.finfo(np.float64).tiny)))
        return np.minimum(self.forest.margin * agreed, 1.0)

    def _standardises(self, reference: Reference) -> bool:
        """Whether there are two p-values."""
        return self.forest.standard_null is not None and bool(reference.score and reference.score.accounts)

    def _mean(
        self, score: NDArray[np.float64], memberships: NDArray[np.float64] | None, reference: Reference
    ) -> NDArray[np.float64]:
        """The geometric mean of both p-values, or the first one where there is no second."""
        forest = self.forest
        worlds = forest.null.pooled(score) if memberships is None else forest.null.p_value(score, memberships)
        if not self._standardises(reference):
            return worlds
        assert forest.standard_null is not None
        assert reference.score is not None
        centre, width = middle(reference.score.quantiles)
        return np.sqrt(worlds * forest.standard_null((score - centre) / width))
