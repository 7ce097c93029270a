"""How many different prompts come from one template.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> p = example(
...     records=90,
...     askable={"template_hashed_count": {0: 90}},
...     distinct={"template_distinct": 2, "prompt_distinct": 32},
... )
>>> first(compute(p, Context()))
4.0
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
    templates = readings.distinct_count(profiles, "template_distinct")
    # Not more prompts than records: the estimate behind the sketch may say so.
    prompts = np.minimum(readings.distinct_count(profiles, "prompt_distinct"), profiles.records)
    known = (templates > 0) & (prompts > 0)
    return np.where(known, np.log2(np.maximum(prompts, 1.0) / np.maximum(templates, 1.0)), np.nan)


SIGNAL = Signal(
    name="slots_per_template",
    units="log2 of prompts",
    formula="log2(distinct prompts / distinct templates), each from its 64 smallest hashes",
    source="Anthropic's report of 23 Feb 2026: repeated templates with new slots",
    sees="few templates filled with ever new contents",
    misses="applications do the same with their users' contents; lists of ready prompts have no template",
    says="{doubled} different prompts come from each of its templates",
    compute=compute,
)
