"""How often the model refused.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, refusals=2), Context()))
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
    return share(profiles, "refusals")


SIGNAL = Signal(
    name="refusal_share",
    units="share of records",
    formula="refusals / records",
    source="this project",
    sees="probing of limits",
    misses="most harvests ask harmless things",
    says="{value:.1%} of its records were refused",
    compute=compute,
)
