"""How likely the next record opens a topic the account never had.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=4, askable={"topic_count": {0: 3, 7: 1}}), Context()))
0.25
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
    return readings.good_turing(profiles)


SIGNAL = Signal(
    name="unseen_topic_mass",
    units="probability",
    formula="topics met once / records",
    source="Good (Biometrika 1953)",
    sees="content that is still opening up",
    misses="a harvest that has covered its corpus",
    says="its next record would open a new topic with probability {value:.3f}",
    compute=compute,
)
