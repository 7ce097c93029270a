"""How often several answers are drawn at once.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, multiple_choices=2), Context()))
0.25
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.base import Signal, share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:
    """See the formula below."""
    del context
    return share(profiles, "multiple_choices")


SIGNAL = Signal(
    name="multiple_choices_share",
    units="share of records",
    formula="multiple_choices / records",
    source="this project",
    sees="harvests that draw several answers",
    misses="repeated requests with n = 1; research draws several too",
    says="{value:.0%} of its records draw several answers",
    compute=compute,
)
