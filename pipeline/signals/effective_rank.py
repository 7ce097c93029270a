"""How many directions the prompts fill.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> p = example(records=4)
>>> p.moment[0, [0, 2]] = (8, 8)  # the first two diagonal entries
>>> first(compute(p, Context()))
2.0
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
    return readings.effective_rank(profiles)


SIGNAL = Signal(
    name="effective_rank",
    units="directions, 1 to 32",
    formula="exp(-sum p ln p), p the normalised eigenvalues of the projected second moment",
    source="Roy & Vetterli (EUSIPCO 2007)",
    sees="breadth of content",
    misses="whether the breadth is a corpus or a chat; grows with the number of records while that is small",
    says="its prompts spread over {value:.1f} of 32 directions",
    compute=compute,
)
