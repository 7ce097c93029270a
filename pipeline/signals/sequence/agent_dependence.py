"""Whether other client programs ask for other things.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, agent=[0, 1] * 20)) > 20
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
    return on_codes(records, "agent")


SIGNAL = SequenceSignal(
    name="agent_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the user agent",
    source="Szekely & Rizzo, J. Multivariate Analysis 117, 2013; own experiments: dependence inside the account",
    sees="a second program behind the account",
    misses="teams with several applications",
    says="its content depends on the user agent {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
