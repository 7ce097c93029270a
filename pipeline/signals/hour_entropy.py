"""How evenly the records spread over the hours of the day.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> p = example(records=8, askable={"hour_histogram": {1: 4, 3: 4}})
>>> first(compute(p, Context()))  # ln 2 + 1/16
0.7556
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import readings
from pipeline.signals.base import Signal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:
    """See the formula below."""
    del context
    return readings.entropy(profiles, "hour_histogram")


SIGNAL = Signal(
    name="hour_entropy",
    units="nats",
    formula="-sum p ln p over hour_histogram, plus (occupied - 1) / (2 n)",
    source="Shannon entropy with the correction of Miller (1955)",
    sees="round-the-clock programs",
    misses="resellers and international services; short bursts",
    says="its hours of the day have an entropy of {value:.2f} nats (all 24 hours alike: 3.18)",
    compute=compute,
)
