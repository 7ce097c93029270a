"""How much the part that most looks like a list being worked off looks like one.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) > compute(sequence([0] * 120, prompts=[0] * 120))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import part_of

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return part_of(records).bound


SIGNAL = SequenceSignal(
    name="part_evidence",
    units="log-odds",
    formula="max over parts of the log-odds of list against people, less what chance allows the best of so many parts; see `parts`",
    source="subset scan (Kulldorff 1997; Neill 2012) with a likelihood of lists",
    sees="a harvest that is the account, or a part of it",
    misses="honest lists: catalogues, evaluations, research",
    says="the part of it that looks most like a list (perhaps all of it) has log-odds {value:.1f} of being one",
    compute=compute,
    minimum=30,
)
