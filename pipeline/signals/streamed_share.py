"""How often the answer is streamed.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, streamed=2), Context()))
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
    return share(profiles, "streamed")


SIGNAL = Signal(
    name="streamed_share",
    units="share of records",
    formula="streamed / records",
    source="this project",
    sees="programs that wait for whole answers",
    misses="many applications do",
    says="{value:.0%} of its records are streamed",
    compute=compute,
)
