"""Benign classes of a lake, from the lake itself, although some of it may be attacking and nobody knows who.

From the shipped classes, by trimmed expectation and maximisation (Neykov et al., CSDA 52, 2007) in concentration steps
as of the minimum covariance determinant (Rousseeuw & Van Driessen, Technometrics 41, 1999):

1. Each account's distance from the centre of its likeliest class, over the median distance in that class as shipped.
2. The farthest `TRIM` of the accounts are left out; the others count by ``benign`` (`benign_weights`).
3. Shares, centres and scales anew from the rest, the shipped ones counting as `STRENGTH` accounts of each class.
   Again from 1, `ROUNDS` times.
4. Reweighting: accounts within the distance that all but `BEYOND` of the shipped class's accounts keep are the members;
   their signals make the class's distributions, shrunk to the shipped ones (`pipeline.classes.classes`).

Where more than `FOUNDING` of the accounts are members of nothing, a class is founded of them. That is more than
undetected attackers are taken to be (`CONTAMINATION`), with the `BEYOND` that any benign population leaves out.

Attackers that imitate a class lie inside it, and no distance finds them. Against these there are the weights from a
first pass of the detector: where a class has more accounts of a small p-value than benign ones would give it, those
count less. How far attackers move the classes is measured in ``docs/classes.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.classes.classes import STRENGTH, Classes, describe
from pipeline.classes.mixture import Mixture, Prior, step
from pipeline.classes.names import name_classes
from pipeline.detectors.base import scorable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.signals.table import SignalTable

    Numbers = NDArray[np.float64]

CONTAMINATION = 0.05
TRIM = 0.10
ROUNDS = 15
BEYOND = 0.025
FOUNDING = 0.10
FOUNDED = 2
BINS = (0.0, 0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 1.0)
RULER = 0.3


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """Classes of a lake; ``kept`` bool[n]: accounts that are members of one; ``founded`` names of new classes."""

    classes: Classes
    kept: NDArray[np.bool_]
    founded: tuple[str, ...]


def recalibrate(
    shipped: Classes,
    values: SignalTable,
    ranks: SignalTable,
    *,
    benign: Numbers | None = None,
    trim: float = TRIM,
    beyond: float = BEYOND,
    strength: float = STRENGTH,
) -> Recalibrated:
    """Classes of a lake.

    Parameters
    ----------
    values, ranks
        Signals of n accounts, and their mid-ranks in the lake, in the same order. Accounts with too few records to
        be judged are not counted.
    benign
        float64[n] in 0..1: how much each account counts, see `benign_weights`. Default: all the same.
    trim, beyond
        Shares left out; 0 trusts everybody.
    """
    order = np.array(sorted(range(len(values)), key=lambda i: str(values.account_id[i]).encode()), np.int64)
    mine = order[scorable(values)[order]]
    table = values.take(mine)
    counted = np.ones(len(mine)) if benign is None else benign[mine]
    rows = shipped.scores(ranks.take(mine))
    mixture, prior = shipped.mixture, Prior(shipped.mixture, np.full(len(shipped), strength))
    usual = [each.fit for each in shipped.each]
    middles = np.array([each.median or 1.0 for each in usual])
    reach = np.array([_quantile(each.quantiles, 1 - beyond) for each in usual])
    mixture = _concentrate(mixture, prior, rows, counted, middles, trim)
    for _ in range(FOUNDED):
        lost = ~_within(mixture, rows, reach if beyond else np.full(len(reach), np.inf))
        if lost.mean() < FOUNDING if len(lost) else True:
            break
        larger, known = _found(mixture, prior, rows, lost)
        middles, reach = np.append(middles, np.median(middles)), np.append(reach, np.median(reach))
        mixture, prior = _concentrate(larger, known, rows, counted, middles, trim), known
    kept = _within(mixture, rows, reach) if beyond else np.ones(len(rows), np.bool_)
    names = list(shipped.names)
    founded = (
        name_classes(mixture.centre[len(names) :], shipped.space, names) if len(mixture) > len(names) else []
    )
    found = describe(
        table,
        mixture.distances(rows),
        mixture.memberships(rows) * (kept * counted)[:, None],
        mixture,
        [*names, *founded],
        shipped.space,
        shipped.references,
        strength,
    )
    everybody = np.zeros(len(values), np.bool_)
    everybody[mine] = kept
    return Recalibrated(Classes(found, shipped.fitted), everybody, tuple(founded))


def benign_weights(p_values: Numbers, memberships: Numbers) -> Numbers:
    """How likely each account is benign, float64[n], by the excess of small p-values in its class.

    Benign accounts spread over p-values evenly. Of the accounts of class k with p in a bin, as many are benign as the
    bin is wide times ``N_k / (1 - RULER)``, with ``N_k`` those over `RULER` (Storey, JRSS B 64, 2002): the rest is excess.
    An account's weight is that share in its class's bin, at most 1 (local false discovery rate of Efron, in bins);
    the mean over its classes. 1 without a p-value. In all at most `TRIM` of the accounts are taken away, the smallest
    p-values first: where a whole lake scores higher than it should, that is no sign of an attack.

    Parameters
    ----------
    p_values
        float64[n] of a first pass, calibrated elsewhere (`ClassNull` of the worlds).
    memberships
        float64[n, K].
    """
    known = ~np.isnan(p_values)
    place = np.searchsorted(BINS, np.where(known, p_values, 1.0), side="right") - 1
    place = np.clip(place, 0, len(BINS) - 2)
    weights = np.ones(len(p_values))
    total = np.zeros(len(p_values))
    for k in range(memberships.shape[1]):
        member = np.where(known, memberships[:, k], 0.0)
        there = np.bincount(place, member, len(BINS) - 1)
        expected = there[np.array(BINS[:-1]) >= RULER].sum() / (1 - RULER) * np.diff(BINS)
        share = np.minimum(expected / np.maximum(there, 1e-12), 1.0)
        total += member * share[place]
    weights[known] = np.minimum(total[known], 1.0)
    left = TRIM * len(weights)
    for number in range(len(BINS) - 1):
        inside = known & (place == number)
        taken = float((1 - weights[inside]).sum())
        if taken > left:
            weights[inside] = 1 - (1 - weights[inside]) * left / taken
        left = max(left - taken, 0.0)
    return np.round(weights, 9)


def _quantile(quantiles: Numbers, share: float) -> float:
    return float(quantiles[round(share * (len(quantiles) - 1))]) if len(quantiles) else np.inf


def _own(mixture: Mixture, rows: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Distance from the centre of the likeliest class, and which it is."""
    best = mixture.memberships(rows).argmax(axis=1)
    return mixture.distances(rows)[np.arange(len(rows)), best], best


def _within(mixture: Mixture, rows: Numbers, reach: Numbers) -> NDArray[np.bool_]:
    distance, best = _own(mixture, rows)
    return np.asarray(distance <= reach[best])


def _concentrate(
    mixture: Mixture, prior: Prior, rows: Numbers, counted: Numbers, middles: Numbers, trim: float
) -> Mixture:
    """Concentration steps: leave the farthest out, estimate, again."""
    for _ in range(ROUNDS):
        distance, best = _own(mixture, rows)
        relative = distance / middles[best]
        # The nearest stay; ties at the edge all stay, so that no order of accounts decides.
        edge = (
            np.sort(relative)[max(int(np.ceil((1 - trim) * len(relative))) - 1, 0)] if len(relative) else 0.0
        )
        mixture = step(mixture, rows, (relative <= edge) * counted, prior)
    return mixture


def _found(mixture: Mixture, prior: Prior, rows: Numbers, lost: NDArray[np.bool_]) -> tuple[Mixture, Prior]:
    """One class more, begun at the middle of the accounts that belong nowhere."""
    theirs = rows[lost]
    known = (~np.isnan(theirs)).any(axis=0)
    centre, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    centre[known] = np.nanmedian(theirs[:, known], axis=0)
    scale[known] = np.maximum(1.4826 * np.nanmedian(np.abs(theirs[:, known] - centre[known]), axis=0), 0.3)
    share = float(lost.mean())
    larger = Mixture(
        np.append(mixture.share * (1 - share), share),
        np.vstack([mixture.centre, centre]),
        np.vstack([mixture.scale, scale]),
    )
    before = Mixture(
        np.append(prior.mixture.share, 1e-6),
        np.vstack([prior.mixture.centre, centre]),
        np.vstack([prior.mixture.scale, scale]),
    )
    return larger, Prior(before, np.append(prior.rows, 0.0))
