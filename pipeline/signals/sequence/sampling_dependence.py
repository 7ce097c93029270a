"""Whether requests with other sampling parameters ask for other things.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, sampling=[0, 1] * 20)) > 20
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.dependence import on_codes

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return on_codes(records, "sampling")


SIGNAL = SequenceSignal(
    name="sampling_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the sampling parameters",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="a harvest hidden in cover traffic that keeps its own parameters",
    misses="honest accounts with two applications; harvests that copy the parameters of the cover",
    says="its content depends on the sampling parameters {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
