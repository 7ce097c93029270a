"""How often prompts come again in the part.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two)
0.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import inside

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return inside(records, "again")


SIGNAL = SequenceSignal(
    name="part_multiplicity",
    units="log of records",
    formula="mean over records of the part of log(records of the account with the same prompt)",
    source="own experiments: multiplicity of prompts",
    sees="lists once, or a fixed number of times",
    misses="several answers to each prompt",
    says="in the part of it that looks most like a list (perhaps all of it) a prompt is sent {exponential} times",
    compute=compute,
    minimum=30,
)
