"""How much the account's content is like corpora that are harvested.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=0), Context()))  # nothing was asked
nan
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.base import Signal
from pipeline.signals.content import reference_content

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:  # noqa: ARG001 - one shape for all
    """See the formula below."""
    content = reference_content()
    n = profiles.records.astype(np.float64)
    if not content.fits(profiles.parameters.space):
        return np.full(len(profiles), np.nan)
    # Integers, so that a batch and a single account agree to the last bit.
    sums = (profiles.embedding_sum * content.weights).sum(axis=1).astype(np.float64)
    return np.where(n > 0, sums / np.maximum(n, 1.0) / content.unit + content.offset, np.nan)


SIGNAL = Signal(
    name="harvest_likeness",
    units="margin: about -1 like ordinary corpora, 1 like harvested ones",
    formula="w . (embedding_sum / records) + b, w and b by ridge regression on prompts of reference corpora",
    source="Hoerl & Kennard (Technometrics 1970); measured in docs/classes.md",
    sees="content like code generation, tool use, instruction and reasoning corpora",
    misses="content is not guilt: tutors, coding tools and evaluations work on the same; corpora of another kind",
    says="its content is at {value:.2f} between ordinary (-1) and harvested corpora (1)",
    compute=compute,
)
