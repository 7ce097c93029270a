"""Different prompts a template carries before its next repeat, in the order they came.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(32), template=[0] * 32)), 6)
5.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, UNKNOWN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    template = records.code("template")
    known = template != UNKNOWN
    if known.sum() < 20:
        return NAN
    names, inverse = np.unique(template[known], return_inverse=True)
    fresh = np.bincount(inverse, weights=records.first_time[known], minlength=len(names))
    uses = np.bincount(inverse, minlength=len(names))
    return float(np.log2(np.maximum((fresh * uses).sum() / uses.sum(), 1.0)))


SIGNAL = SequenceSignal(
    name="slots_in_sequence",
    units="log2 of prompts",
    formula="log2 of the mean, over records, of the new prompts of the record's template",
    source="Anthropic's report of 23 Feb 2026; `slots_per_template` of the profile is the ratio of two sketches, this is exact and weighs templates by use",
    sees="few templates with very many contents",
    misses="it grows with the account",
    says="the template of one of its records carries {doubled} different prompts on average",
    compute=compute,
)
