"""How far the account's content lies from that of everybody.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=9), Context()))  # no population to compare with
nan
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline import readings
from pipeline.signals.base import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:
    """See the formula below."""
    if context.population is None or context.population.records < 2:
        return np.full(len(profiles), np.nan)
    return readings.mmd2(profiles, context.population.profile(profiles.parameters))


SIGNAL = Signal(
    name="population_mmd2",
    units="squared kernel distance",
    formula="unbiased |mean features - population's|^2 from kernel_mean",
    source="Gretton et al. (JMLR 2012), features of Rahimi & Recht (NIPS 2007)",
    sees="content unlike the population's",
    misses="harvests of common content; niches and batch jobs score 3-18 times above harvests",
    says="its content lies {value:.3f} (squared kernel distance) from the population's",
    compute=compute,
    needs_population=True,
)
