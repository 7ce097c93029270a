"""Whether the part keeps to one set of sampling parameters.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two), compute(two_uses(metadata=False))
(1.0, nan)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal, same_pairs
from pipeline.signals.sequence.parts import part_of

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return same_pairs(records.code("sampling")[part_of(records).rows])


SIGNAL = SequenceSignal(
    name="part_steadiness",
    units="share of pairs",
    formula="pairs of records of the part with the same sampling parameters / pairs",
    source="own experiments: parameter entropy",
    sees="one program, where many users differ",
    misses="harvests that draw their parameters",
    says="in the part of it that looks most like a list (perhaps all of it) two records have the same parameters with chance {value:.2f}",
    compute=compute,
    minimum=30,
)
