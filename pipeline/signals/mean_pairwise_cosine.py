"""How alike the account's prompts are on average.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> p = example(records=2, embedding_norm2=2 * 25)
>>> p.embedding_sum[0, :2] = (5, 5)  # two orthogonal records of length 5
>>> first(compute(p, Context()))
0.0
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
    return readings.mean_pairwise_cosine(profiles)


SIGNAL = Signal(
    name="mean_pairwise_cosine",
    units="cosine, -1 to 1",
    formula="(|s|^2 - sum |q|^2) / ((n - 1) sum |q|^2), s = embedding_sum",
    source="mean resultant length, Mardia & Jupp (2000)",
    sees="one task, one template, one narrow topic",
    misses="everything else: batch jobs and niches lie with narrow harvests, chat with broad ones",
    says="two of its prompts have a cosine of {value:.2f} on average",
    compute=compute,
)
