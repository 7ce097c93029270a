"""Share of repeats among fifty records.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(60))), round(compute(sequence(range(60), prompts=[0] * 60)), 2)
(0.0, 0.98)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import SequenceSignal, expected_distinct

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    return 1.0 - expected_distinct(records.multiplicity, 50) / 50


SIGNAL = SequenceSignal(
    name="repeat_share",
    units="share of records",
    formula="1 - expected different prompts among 50 random records / 50",
    source="rarefaction (Hurlbert, Ecology 52, 1971); own experiments",
    sees="people repeat themselves, programs that pay per answer do not",
    misses="harvests that draw several answers repeat a lot; benign repeat rates are assumptions of the simulator",
    says="{value:.0%} of fifty of its records repeat an earlier one",
    compute=compute,
    minimum=50,
)
