"""How often log-probabilities are asked for.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=8, logprobs=2), Context()))
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
    return share(profiles, "logprobs")


SIGNAL = Signal(
    name="logprobs_share",
    units="share of records",
    formula="logprobs / records",
    source="Carlini et al. (ICML 2024): stealing part of a model through them",
    sees="logit harvests",
    misses="harvests of text",
    says="{value:.1%} of its records ask for log-probabilities",
    compute=compute,
)
