"""The false discovery rate over all accounts of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg adjusted p-values (JRSS B 1995); NaN stays NaN and does not count.

    An account is in the list of rate alpha when its value is at most alpha. Valid for independent p-values and
    for those positively dependent in their sense (PRDS); accounts of one lake share a reference, which is such
    a dependence.

    Examples
    --------
    >>> q_values(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
    [0.03, 0.04, nan, 0.04]
    """
    out = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    if len(known):
        order = known[np.argsort(p_values[known], kind="stable")]
        scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
        out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return out
