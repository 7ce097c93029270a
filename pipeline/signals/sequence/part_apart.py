"""How far the part's contents are from the rest.

Examples
--------
>>> from pipeline.signals.sequence.parts_example import two_uses
>>> two = two_uses()
>>> compute(two) > 0.2
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.parts import inside

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return inside(records, "apart")


SIGNAL = SequenceSignal(
    name="part_apart",
    units="cosine",
    formula="(mean cosine of two records of the part + of two of the rest) / 2 - mean cosine across, 0 for a whole account",
    source="energy distance (Szekely & Rizzo, Journal of Statistical Planning and Inference 143, 2013), linear kernel",
    sees="another use of the account, not a slice of the same",
    misses="cover on the same content",
    says="the part of it that looks most like a list, if one stands out, differs by {value:.2f} in cosine from the rest",
    compute=compute,
    minimum=30,
)
