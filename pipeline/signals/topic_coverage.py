"""How many topics would be met in 50 of its records.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> p = example(records=100, askable={"topic_count": {0: 50, 1: 50}})
>>> first(compute(p, Context()))
2.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from pipeline.signals.base import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context

RAREFIED = 50
"""Records drawn; also the fewest that say anything."""


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:
    """See the formula below."""
    del context
    counts = profiles.askable["topic_count"].astype(np.float64)
    n = counts.sum(axis=1, keepdims=True)
    drawn = float(RAREFIED)
    # P(topic not among the drawn) = C(n - c, m) / C(n, m); 0 when fewer than m records lie outside the topic.
    outside = np.maximum(n - counts - drawn, 0.0)
    log_missed = (
        gammaln(n - counts + 1)
        - gammaln(outside + 1)
        - gammaln(n + 1)
        + gammaln(np.maximum(n - drawn, 0.0) + 1)
    )
    missed = np.where(n - counts >= drawn, np.exp(log_missed), 0.0)
    return np.where(n[:, 0] >= drawn, (1.0 - missed).sum(axis=1), np.nan)


SIGNAL = Signal(
    name="topic_coverage",
    units="topics, 1 to 50",
    formula="sum over topics of 1 - C(n - c, 50) / C(n, 50)",
    source="rarefaction, Hurlbert (Ecology 1971)",
    sees="breadth, comparable between accounts of any size",
    misses="below 50 records nothing; broad chat covers as much",
    says="50 of its records would meet {value:.0f} topics",
    compute=compute,
)
