"""How much content depends on another property inside one account: bias-corrected distance correlation.

With a centred kernel A of contents and B of the property, ``R = <A, B> / sqrt(<A, A> <B, B>)``, where centring is
that of Szekely & Rizzo (Journal of Multivariate Analysis 117, 2013): zero on average under independence at any n.
``T = sqrt(v - 1) R / sqrt(1 - R^2)`` with ``v = n (n - 3) / 2`` is about normal then, so no permutations are needed.
The kernels are linear: cosine for content, a product of features for the property (HSIC, Gretton et al., ALT 2005).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import COMPARED, NAN, UNKNOWN, Kinds, Margins, centred, spaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.signals.sequence.base import AccountSequence, Integers, Numbers

MINIMUM = 30
"""Known records that the statistic asks for."""

KINDS = 24
"""Values of a field that get a feature of their own, the most frequent; the rest is one more."""


def indicators(codes: Integers | Kinds) -> Numbers:
    """One column per frequent value, float64[n, k], each scaled so that rare values weigh as much as common ones."""
    kinds = codes if isinstance(codes, Kinds) else Kinds.of(codes)
    inverse = kinds.inverse
    if len(kinds.names) > KINDS:
        # Ties by first appearance, never by the code.
        kept = np.lexsort((kinds.first, -kinds.counts))[:KINDS]
        place = np.full(len(kinds.names), KINDS)
        place[kept] = np.arange(KINDS)
        inverse = place[inverse]
    out = np.zeros((len(inverse), int(inverse.max(initial=0)) + 1))
    out[np.arange(len(inverse)), inverse] = 1.0
    out /= np.sqrt(np.maximum(out.sum(axis=0), 1.0))
    return out


def ordered(values: Integers) -> Numbers:
    """Mid-ranks in (-1/2, 1/2) and their squares, centred: linear and bent dependence on a number, float64[n, 2]."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / max(1, len(values)) - 0.5
    rank = middle[inverse]
    return np.stack([rank, 3.0 * (rank**2 - np.mean(rank**2))], axis=1)


def clock(time: Integers) -> Numbers:
    """Hour of the day on a circle, float64[n, 2]."""
    angle = (time % 86_400_000_000) / 86_400_000_000 * 2 * np.pi
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def dependence(records: AccountSequence, features: Numbers, known: NDArray[np.bool_]) -> float:
    """T of content and a property.

    Parameters
    ----------
    records
        The account.
    features
        float64[n, k] of all records.
    known
        bool[n], the records to use.

    Returns
    -------
    float
        NaN with fewer than `MINIMUM` known records, or where all have the same property or the same content.
    """
    rows = spaced(np.flatnonzero(known), COMPARED)
    n = len(rows)
    if n < MINIMUM:
        return NAN
    mine = features[rows]
    if not np.ptp(mine, axis=0).any():
        return NAN
    # U-centring takes away whatever is added to a row or a column: features may be moved to their mean.
    mine = mine - mine.mean(axis=0)
    square = np.einsum("ij,ij->i", mine, mine)
    other = Margins.of_features(mine, square)
    if known.all():
        content, margins, size = records.centred_content, records.content_margins, records.squared_content
    elif len(records) > COMPARED:
        content = centred(records.cosine[np.ix_(rows, rows)].astype(np.float64))
        margins, size = Margins.of(content), float(np.vdot(content, content))
    else:
        # Those of all records, centred once more without those that are not known.
        content = records.centred_content[rows][:, rows]
        margins = Margins.of(content)
        size = margins.squared(float(np.vdot(content, content)))
    both = margins.product(other, float(np.vdot(mine, content @ mine)))
    inner = mine.T @ mine
    whole = float(np.vdot(inner, inner))
    spread = other.product(other, whole - float(square @ square))
    size *= spread
    # A single odd record leaves nothing but rounding.
    if size <= 1e-12 or spread <= 1e-12 * whole:
        return NAN
    r = min(both / np.sqrt(size), 1 - 1e-9)
    return float(np.sqrt(n * (n - 3) / 2 - 1) * r / np.sqrt(1 - r * r))


def on_codes(records: AccountSequence, field: str) -> float:
    """T of content and a field with values that are equal or not."""
    codes = records.code(field)
    return dependence(records, indicators(records.kinds(field)), codes != UNKNOWN)


def on_number(records: AccountSequence, field: str) -> float:
    """T of content and the size of a number."""
    values = records.number(field)
    return dependence(records, ordered(values), values != UNKNOWN)
