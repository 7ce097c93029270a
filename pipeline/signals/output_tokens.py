"""How long the answers are.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=2, output_tokens=14), Context()))
3.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.base import Signal, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:
    """See the formula below."""
    del context
    return np.log2(1.0 + share(profiles, "output_tokens"))


SIGNAL = Signal(
    name="output_tokens",
    units="log2 of tokens",
    formula="log2(1 + output_tokens / records)",
    source="this project",
    sees="long answers, which are what a harvest is after",
    misses="coding agents and research get long ones too",
    says="its answers have {doubled_less_one} tokens on average",
    compute=compute,
)
