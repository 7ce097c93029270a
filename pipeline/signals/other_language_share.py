"""How often the language is not English.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, other_language=2), Context()))
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
    return share(profiles, "other_language")


SIGNAL = Signal(
    name="other_language_share",
    units="share of records",
    formula="other_language / records",
    source="Google's report of 12 Feb 2026 (many prompts in other languages)",
    sees="harvests in other languages",
    misses="says nothing by itself: most people do not speak English",
    says="{value:.0%} of its records are not in English",
    compute=compute,
)
