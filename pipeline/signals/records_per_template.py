"""How many records share one template.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> p = example(records=64, askable={"template_hashed_count": {0: 64}}, distinct={"template_distinct": 2})
>>> first(compute(p, Context()))
5.0
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
    known = profiles.askable["template_hashed_count"].sum(axis=1).astype(np.float64)
    distinct = readings.distinct_count(profiles, "template_distinct")
    return np.where(
        (known > 0) & (distinct > 0), np.log2(np.maximum(known, 1.0) / np.maximum(distinct, 1.0)), np.nan
    )


SIGNAL = Signal(
    name="records_per_template",
    units="log2 of records",
    formula="log2(records with a template / distinct templates)",
    source="slots per template: Anthropic's report of 23 Feb 2026 (repeated templates with new slots)",
    sees="few templates filled very often",
    misses="applications do the same; lists of ready prompts have no template",
    says="a template of it is used 2^{value:.1f} times on average",
    compute=compute,
)
