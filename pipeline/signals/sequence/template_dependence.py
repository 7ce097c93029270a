"""Whether templates have contents of their own.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, template=[0, 1] * 20)) > 20
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
    return on_codes(records, "template")


SIGNAL = SequenceSignal(
    name="template_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the template",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="a job of its own under its own template",
    misses="templates put their words into the embedding: dependence by construction",
    says="its content depends on the template {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
