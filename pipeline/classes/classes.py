"""Benign classes: who is an account's like, and how is each signal distributed among them.

Membership of an account with n records and normal scores z in class k::

    m_k = pi_k f_k(z)^tau / sum_j pi_j f_j(z)^tau,      tau = n / (n + TRUST)

with the shares ``pi`` and densities ``f`` of `pipeline.classes.mixture`. With many records it is the posterior, with few
the share: a new account is compared with its class as far as its records show one, and else with the population. Its
distribution of a signal x is ``F(x) = sum_k m_k F_k(x)``; at n = 0 that is the population's.

The distribution of a class is itself a mixture: ``a`` accounts of the lake (each counted by its membership) and the
shipped class, which counts as `STRENGTH` accounts::

    F_k = (a F_lake,k + STRENGTH F_shipped,k) / (a + STRENGTH)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.classes.mixture import Mixture
from pipeline.classes.space import normal_scores
from pipeline.detectors.reference import CLASS_QUANTILES, ClassReference, Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.signals import SignalTable

    Numbers = NDArray[np.float64]

CLASSES_FILE = Path(__file__).parents[1] / "data" / "classes.json"
TRUST = 50.0
STRENGTH = 50.0


@dataclass(frozen=True)
class Classes:
    """Benign classes by name, as they lie in a reference.

    Parameters
    ----------
    references
        At least one; all with the same signals in their geometry.
    fitted
        What they were fitted on.
    """

    references: Mapping[str, ClassReference]
    fitted: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.references)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """In the order of the columns of memberships: sorted, so that it survives a table."""
        return tuple(sorted(self.references))

    @cached_property
    def each(self) -> tuple[ClassReference, ...]:
        """In the order of the names."""
        return tuple(self.references[name] for name in self.names)

    @cached_property
    def space(self) -> tuple[str, ...]:
        """Signals that classes are told apart by."""
        return tuple(sorted(self.each[0].geometry))

    @cached_property
    def mixture(self) -> Mixture:
        """Shares, centres and scales."""
        pairs = np.array([[kind.geometry[name] for name in self.space] for kind in self.each])
        share = np.array([kind.share for kind in self.each])
        return Mixture(share / share.sum(), pairs[:, :, 0], pairs[:, :, 1])

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of all figures, in hex."""
        value = {name: each.to_json() for name, each in self.references.items()}
        return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()

    def scores(self, ranks: SignalTable) -> Numbers:
        """Normal scores in the space, float64[n, S], of a table of ranks."""
        return normal_scores(ranks.columns, self.space, len(ranks))

    def assign(self, ranks: SignalTable) -> Numbers:
        """Memberships float64[n, K], rows sum to 1, of accounts given by their mid-ranks in the lake.

        Parameters
        ----------
        ranks
            ``columns`` holds ranks in (0, 1), NaN without one; missing columns are unknown.
        """
        records = ranks.records.astype(np.float64)
        return self.mixture.memberships(self.scores(ranks), records / (records + TRUST))

    def best(self, memberships: Numbers) -> list[str]:
        """The class with the largest membership of each account (the first of equals)."""
        return [self.names[k] for k in memberships.argmax(axis=1)]

    def fit(self, ranks: SignalTable) -> Numbers:
        """Share of each class's members that lie at least as far from its centre, float64[n, K]."""
        distance = self.mixture.distances(self.scores(ranks))
        columns = [1 - each.fit.rank(distance[:, k]) for k, each in enumerate(self.each)]
        return np.stack(columns, axis=1)

    def ranks_within(self, values: SignalTable, memberships: Numbers) -> dict[str, Numbers]:
        """Rank of each account's value among its like: ``sum_k m_k F_k(x)``, float64[n] per signal.

        A class without accounts that have a value is passed over; NaN without a value, or without any such class.
        """
        found = {}
        for name, column in values.columns.items():
            total, weight = np.zeros(len(column)), np.zeros(len(column))
            for k, each in enumerate(self.each):
                rank = (
                    each.signals[name].rank(column) if name in each.signals else np.full(len(column), np.nan)
                )
                there = ~np.isnan(rank)
                total += np.where(there, memberships[:, k] * np.where(there, rank, 0.0), 0.0)
                weight += np.where(there, memberships[:, k], 0.0)
            found[name] = np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), np.nan)
        return found

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        classes = {name: each.to_json() for name, each in self.references.items()}
        return {"classes": classes, "fitted": dict(self.fitted)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Classes:
        """What `to_json` gave."""
        references = {name: ClassReference.from_json(each) for name, each in value["classes"].items()}
        return cls(references, value["fitted"])


def shrunk(
    own: Numbers, weight: Numbers, shipped: Distribution | None, strength: float = STRENGTH
) -> Distribution:
    """The distribution of a class: its accounts' values, and the shipped one counting as ``strength`` accounts.

    Parameters
    ----------
    own, weight
        float64[n] values (NaN: none) and how much each account counts.
    """
    if shipped is None:
        return Distribution.weighted(own, weight)
    count = shipped.accounts + shipped.missing
    if not float(weight.sum()):
        return shipped
    known = strength * (shipped.accounts / count if count else 0.0)
    points = len(shipped.quantiles)
    values = np.concatenate([own, shipped.quantiles, [np.nan]])
    # Without a value in as many of its accounts as before.
    counted = np.concatenate([weight, np.full(points, known / max(points, 1)), [strength - known]])
    return Distribution.weighted(values, counted, CLASS_QUANTILES)


def describe(
    values: SignalTable,
    distances: Numbers,
    weights: Numbers,
    mixture: Mixture,
    names: Sequence[str],
    space: Sequence[str],
    shipped: Mapping[str, ClassReference],
    strength: float = STRENGTH,
) -> dict[str, ClassReference]:
    """Classes as a reference holds them.

    Parameters
    ----------
    values
        Signals of n accounts.
    distances
        float64[n, K] from each centre.
    weights
        float64[n, K]: how much each account counts in each class.
    shipped
        What the distributions shrink to, by name; a class that is not there stands alone.
    """
    own: list[dict[str, Distribution]] = [{} for _ in names]
    for signal, column in values.columns.items():
        # Sorted once for all classes: what is sorted again below is in order already.
        order = np.argsort(column, kind="stable")
        for k, name in enumerate(names):
            known = shipped[name].signals.get(signal) if name in shipped else None
            own[k][signal] = shrunk(column[order], weights[order, k], known, strength)
    found = {}
    for k, name in enumerate(names):
        before, weight = shipped.get(name), weights[:, k]
        # What this table does not have is as it was shipped.
        signals = {**(before.signals if before else {}), **own[k]}
        pairs = zip(mixture.centre[k].tolist(), mixture.scale[k].tolist(), strict=True)
        found[name] = ClassReference(
            float(mixture.share[k]),
            round(float(weight.sum()), 3),
            dict(zip(space, pairs, strict=True)),
            shrunk(distances[:, k], weight, before.fit if before else None, strength),
            signals,
        )
    return found


@cache
def shipped_classes() -> Classes:
    """Those in `pipeline/data`."""
    return Classes.from_json(json.loads(CLASSES_FILE.read_text()))
