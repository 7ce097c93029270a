"""How much longer answers are in the part than in the rest.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) > 1, compute(two_uses(metadata=False))
(True, nan)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import UNKNOWN, SequenceSignal
from pipeline.signals.sequence.parts import known_inside, mean_or_nan, part_of

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    tokens = records.number("output_tokens")
    inside = mean_or_nan(np.log1p(known_inside(records, tokens)))
    rest = tokens[~part_of(records).rows & (tokens != UNKNOWN)]
    return inside - mean_or_nan(np.log1p(rest)) if len(rest) else inside - inside


SIGNAL = SequenceSignal(
    name="part_answers_contrast",
    units="log of tokens",
    formula="mean of log(1 + output tokens) in the part - in the rest, 0 for a whole account",
    source="own experiments: dependence on answer length",
    sees="long answers are the goods",
    misses="cover with answers as long",
    says="in the part of it that looks most like a list, if one stands out from the rest, answers are {exponential} times as long as in the rest",
    compute=compute,
    minimum=30,
)
