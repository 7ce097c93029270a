"""Whether requests under another system prompt ask for other things.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, system_prompt=[0, 1] * 20)) > 20
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
    return on_codes(records, "system_prompt")


SIGNAL = SequenceSignal(
    name="system_prompt_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the system prompt",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="two programs behind one account",
    misses="companies run several applications",
    says="its content depends on the system prompt {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
