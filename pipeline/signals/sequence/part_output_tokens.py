"""How long the part's answers are.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(60), output_tokens=[99] * 60)), 3), compute(sequence(range(60)))
(4.605, nan)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import known_inside, mean_or_nan

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return mean_or_nan(np.log1p(known_inside(records, records.number("output_tokens"))))


SIGNAL = SequenceSignal(
    name="part_output_tokens",
    units="log of tokens",
    formula="mean of log(1 + output tokens) in the part",
    source="own experiments: dependence on answer length",
    sees="long answers are the goods",
    misses="honest long answers",
    says="in the part of it that looks most like a list (perhaps all of it) answers have {exponential_less_one} tokens (geometric mean)",
    compute=compute,
    minimum=30,
)
