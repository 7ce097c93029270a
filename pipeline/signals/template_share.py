"""How much the most used template makes up.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, askable={"template_hashed_count": {0: 6, 5: 2}}), Context()))
0.75
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
    return readings.dominant_share(profiles, "template_hashed_count")


SIGNAL = Signal(
    name="template_share",
    units="share of records with a template",
    formula="max / sum of template_hashed_count",
    source="this project",
    sees="one dominant template",
    misses="64 buckets: templates may share one",
    says="its most used template makes up {value:.0%} of its records with one",
    compute=compute,
)
