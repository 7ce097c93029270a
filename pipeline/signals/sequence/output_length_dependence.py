"""Whether the length of the answers depends on the content.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, output_tokens=[9, 900] * 20)) > 20
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.dependence import on_number

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return on_number(records, "output_tokens")


SIGNAL = SequenceSignal(
    name="output_length_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the length of the answer",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="long answers drawn by a part of the traffic",
    misses="some questions need long answers",
    says="its content depends on the length of the answer {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
