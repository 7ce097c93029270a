"""The part of the account that looks most like a list being worked off, against the rest.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(60), prompts=[0] * 30 + list(range(1, 31)), sampling=[0] * 30 + [1] * 30)) > 5
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.scan import scan

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return scan(records).excess


SIGNAL = SequenceSignal(
    name="scan_excess",
    units="standard deviations",
    formula="sqrt(2 max LLR) of a Bernoulli scan over groups of records with one property or two; marks are prompts new in the account and unlike the one before",
    source="spatial scan statistic (Kulldorff, Communications in Statistics 26, 1997)",
    sees="a harvest in cover traffic that keeps a template, parameters, a model, a client or topics of its own",
    misses="harvests that share everything with their cover; honest lists beside honest users",
    says="one part of it works off a list {size:.1f} standard deviations {more} than the rest",
    compute=compute,
    minimum=50,
)
