"""How much of the part is crowded ground.

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
    return inside(records, "crowded")


SIGNAL = SequenceSignal(
    name="part_ground",
    units="share of records",
    formula="records of the part with another prompt of cosine .7 in the account / records of the part",
    source="own experiments: region growth",
    sees="lists go over their ground once",
    misses="large corpora of near copies",
    says="in the part of it that looks most like a list (perhaps all of it) {value:.0%} of the records have a near neighbour in the account",
    compute=compute,
    minimum=30,
)
