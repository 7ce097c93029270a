"""A mixture of t-distributions with diagonal scales, over rows some of whose numbers are missing.

Density of a row in class k over its d known numbers: multivariate t with ``nu = 4`` degrees of freedom, centre ``m_k``,
scales ``s_k`` (Peel & McLachlan, Statistics and Computing 10, 2000). The margin of a multivariate t over the known
numbers is again one, so missing numbers are left out, not filled in. Heavy tails make single odd numbers count
little, and keep memberships soft although signals depend on each other.

Sums run over rows without a matrix library: the result does not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, logsumexp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DEGREES = 4.0
# Normal scores of ranks have a variance of 1 over everybody; no class is narrower than this.
NARROWEST = 0.2
DIGITS = 6
"""Decimals of shares, centres, scales and memberships: the last digits of logarithms and sums are other ones on another
processor, and what is rounded to nearly as many as they have falls on either side too often."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """K classes over S numbers: ``share`` float64[K], ``centre`` and ``scale`` float64[K, S]."""

    share: Numbers
    centre: Numbers
    scale: Numbers

    def __len__(self) -> int:
        return len(self.share)

    def distances(self, rows: Numbers) -> Numbers:
        """Squared distance to each class's centre per known number, float64[n, K]; about 1 for members."""
        known = ~np.isnan(rows)
        filled = np.where(known, rows, 0.0)
        count = np.maximum(known.sum(axis=1), 1)
        out = np.empty((len(rows), len(self)))
        for k in range(len(self)):
            apart = (filled - self.centre[k]) / self.scale[k]
            out[:, k] = np.where(known, apart * apart, 0.0).sum(axis=1) / count
        return out

    def log_density(self, rows: Numbers, distances: Numbers | None = None) -> Numbers:
        """Log density in each class, float64[n, K]; 0 for a row without numbers. ``distances`` if they are known."""
        known = ~np.isnan(rows)
        count = known.sum(axis=1).astype(np.float64)
        squared = (self.distances(rows) if distances is None else distances) * count[:, None]
        constant = gammaln((DEGREES + count) / 2) - gammaln(DEGREES / 2) - count / 2 * np.log(DEGREES * np.pi)
        widths = np.stack([np.where(known, np.log(scale), 0.0).sum(axis=1) for scale in self.scale], axis=1)
        tails = (DEGREES + count)[:, None] / 2 * np.log1p(squared / DEGREES)
        found: Numbers = constant[:, None] - widths - tails
        return found

    def memberships(
        self, rows: Numbers, trust: Numbers | None = None, distances: Numbers | None = None
    ) -> Numbers:
        """Posterior of the classes, float64[n, K], rows sum to 1.

        Parameters
        ----------
        trust
            float64[n] in 0..1, by which the log density counts: 0 gives the shares, 1 the posterior. Default: 1.
        """
        density = self.log_density(rows, distances)
        if trust is not None:
            density = density * trust[:, None]
        logs = density + np.log(self.share)
        found = np.round(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)), DIGITS)
        normal: Numbers = found / found.sum(axis=1, keepdims=True)
        return normal

    def likelihood(self, rows: Numbers) -> Numbers:
        """Log density under the whole mixture, float64[n]."""
        found: Numbers = np.asarray(
            logsumexp(self.log_density(rows) + np.log(self.share), axis=1), np.float64
        )
        return found


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known before: a mixture whose class k counts as ``rows[k]`` members; 0: nothing is known of it."""

    mixture: Mixture
    rows: Numbers


def step(mixture: Mixture, rows: Numbers, weight: Numbers, prior: Prior | None = None) -> Mixture:
    """One step of expectation and maximisation.

    Parameters
    ----------
    rows
        float64[n, S], NaN where not known.
    weight
        float64[n] or float64[n, K]: how much a row counts (in a class); 0 leaves it out.
    """
    known = ~np.isnan(rows)
    filled = np.where(known, rows, 0.0)
    count = known.sum(axis=1)
    apart = mixture.distances(rows)
    member = mixture.memberships(rows, distances=apart) * (weight if weight.ndim == 2 else weight[:, None])
    distance = apart * np.maximum(count, 1)[:, None]
    near = (DEGREES + count)[:, None] / (DEGREES + distance)
    share, centre, scale = [], [], []
    for k in range(len(mixture)):
        mine = np.where(known, member[:, k, None], 0.0)
        pull = mine * near[:, k, None]
        mass, pulled, total = pull.sum(axis=0), (pull * filled).sum(axis=0), mine.sum(axis=0)
        if prior is not None:
            mass, pulled = mass + prior.rows[k], pulled + prior.rows[k] * prior.mixture.centre[k]
        middle = np.where(mass > 0, pulled / np.where(mass > 0, mass, 1.0), mixture.centre[k])
        spread = (pull * (filled - middle) ** 2).sum(axis=0)
        if prior is not None:
            spread = spread + prior.rows[k] * prior.mixture.scale[k] ** 2
            total = total + prior.rows[k]
        width = np.sqrt(np.where(total > 0, spread / np.where(total > 0, total, 1.0), mixture.scale[k] ** 2))
        centre.append(middle)
        scale.append(np.maximum(width, NARROWEST))
        share.append(float(member[:, k].sum()))
    shares = np.array(share)
    if prior is not None:
        shares = shares + prior.rows.sum() * prior.mixture.share
    shares = np.maximum(shares / max(float(shares.sum()), 1e-12), 1e-6)
    return Mixture(
        np.round(shares / shares.sum(), DIGITS),
        np.round(np.array(centre), DIGITS),
        np.round(np.array(scale), DIGITS),
    )


def find(rows: Numbers, classes: int, seed: int, *, starts: int = 6, steps: int = 60) -> Mixture:
    """Find classes: the likeliest of several starts from rows far apart (Arthur & Vassilvitskii, SODA 2007)."""
    weight = np.ones(len(rows))
    best, height = None, -np.inf
    for start in range(starts):
        mixture = _start(rows, classes, np.random.default_rng([seed, start]))
        for _ in range(steps):
            mixture = step(mixture, rows, weight)
        found = float(mixture.likelihood(rows).mean())
        if found > height:
            best, height = mixture, found
    assert best is not None
    return best


def _start(rows: Numbers, classes: int, rng: np.random.Generator) -> Mixture:
    size = rows.shape[1]
    chosen = [int(rng.integers(len(rows)))]
    one = np.ones((1, size))
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < classes:
        centre = np.nan_to_num(rows[chosen[-1]])[None]
        nearest = np.minimum(nearest, Mixture(np.ones(1), centre, one).distances(rows)[:, 0])
        chosen.append(int(rng.choice(len(rows), p=nearest / nearest.sum())))
    return Mixture(
        np.full(classes, 1.0 / classes), np.nan_to_num(rows[chosen]), np.full((classes, size), 0.8)
    )
