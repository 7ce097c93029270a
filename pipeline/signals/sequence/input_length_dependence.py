"""Whether the length of the input depends on the content.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, input_tokens=[9, 900] * 20)) > 20
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
    return on_number(records, "input_tokens")


SIGNAL = SequenceSignal(
    name="input_length_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the length of the input",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="streams with a fixed overhead of their own",
    misses="long texts are about other things than short ones",
    says="its content depends on the length of the input {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
