"""How many topics so many records meet: rarefaction, exactly, from counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIZES = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000, 10000)
"""Numbers of records at which curves are drawn."""


def expected_topics(counts: Sequence[int] | NDArray[np.int64], records: int) -> float:
    """Different topics that ``records`` of an account's records meet on average, drawn without putting back.

    Hurlbert's rarefaction (1971): ``sum over topics of 1 - C(N - n_i, k) / C(N, k)``. NaN beyond what there is.

    Examples
    --------
    >>> expected_topics([5, 5], 1), expected_topics([5, 5], 10)
    (1.0, 2.0)
    """
    n = np.asarray(counts, np.float64)
    total = n.sum()
    if not 0 < records <= total:
        return float("nan")
    rest = total - n
    possible = rest >= records
    log = np.full(len(n), -np.inf)
    log[possible] = (
        gammaln(rest[possible] + 1)
        - gammaln(rest[possible] - records + 1)
        - gammaln(total + 1)
        + gammaln(total - records + 1)
    )
    return round(float((1 - np.exp(log)).sum()), 6)


def curve(counts: Sequence[int] | NDArray[np.int64]) -> list[tuple[int, float]]:
    """(records, expected topics) at `SIZES` and at all there are."""
    total = int(np.sum(counts))
    sizes = sorted({size for size in SIZES if size < total} | ({total} if total else set()))
    return [(size, expected_topics(counts, size)) for size in sizes]
