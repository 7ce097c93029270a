"""How often a template that was used before carries a prompt that was not.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(30), template=[0] * 30)), compute(sequence(range(30), prompts=[0] * 30, template=[0] * 30))
(1.0, 0.0)
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
    first = np.zeros(len(records), bool)
    first[np.unique(template, return_index=True)[1]] = True
    again = (template != UNKNOWN) & ~first
    if again.sum() < 20:
        return NAN
    return float(records.first_time[again].mean())


SIGNAL = SequenceSignal(
    name="fresh_slots",
    units="share of records",
    formula="records with a used template and a new prompt / records with a used template",
    source="Anthropic's report of 23 Feb 2026: repeated templates with new slots",
    sees="slots filled with ever new contents, in the order they came",
    misses="applications do the same with their users' contents",
    says="{value:.0%} of its records on a used template carry a new prompt",
    compute=compute,
)
