"""How often reasoning is asked for.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, reasoning_requested=2), Context()))
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
    return share(profiles, "reasoning_requested")


SIGNAL = Signal(
    name="reasoning_share",
    units="share of records",
    formula="reasoning_requested / records",
    source="Google's report of 12 Feb 2026; Anthropic's of 23 Feb 2026",
    sees="reasoning harvests",
    misses="research and evaluation ask as much",
    says="{value:.0%} of its records ask for the reasoning",
    compute=compute,
)
