"""How often a prompt was sent before.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=40, distinct={"prompt_distinct": 10}), Context()))
0.75
>>> first(compute(example(records=40), Context()))  # no prompt hashes arrived
nan
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline import readings
from pipeline.signals.base import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:
    """See the formula below."""
    del context
    n = profiles.records.astype(np.float64)
    distinct = readings.distinct_count(profiles, "prompt_distinct")
    return np.where((distinct > 0) & (n > 0), 1.0 - np.minimum(distinct / np.maximum(n, 1.0), 1.0), np.nan)


SIGNAL = Signal(
    name="prompt_repeat_rate",
    units="share of records",
    formula="1 - distinct prompts / records, distinct from the 64 smallest hashes",
    source="bottom-k: Bar-Yossef et al. (RANDOM 2002), error about 13 %",
    sees="walking a corpus once (few repeats) against use (many)",
    misses="harvests that draw several answers; broad chat repeats little as well",
    says="an estimated {value:.0%} of its records repeat a prompt (give or take 13 points)",
    compute=compute,
)
