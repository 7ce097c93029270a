"""Whether content depends on how it is asked for: parameters, system prompt, model, client and answer length at once.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence([0, 1] * 20, sampling=[0, 1] * 20)) > 20
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import SequenceSignal
from pipeline.signals.sequence.dependence import dependence, indicators, ordered

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    parts = [
        indicators(records.kinds(name))
        for name in ("sampling", "system_prompt", "model", "agent", "reasoning")
    ]
    # Each property has the same total weight, whatever its number of values.
    parts.append(ordered(records.number("output_tokens")))
    scaled = [part / np.sqrt(max(float((part * part).sum()), 1e-12)) for part in parts]
    return dependence(records, np.concatenate(scaled, axis=1), np.ones(len(records), bool))


SIGNAL = SequenceSignal(
    name="behaviour_dependence",
    units="standard deviations",
    formula="T of the bias-corrected distance correlation of content and the sum of six kernels",
    source="sums of kernels: Gretton et al., ALT 2005; own experiments: dependence inside the account finds diluted harvests",
    sees="a second stream, whatever tells it apart",
    misses="resellers and companies have many streams, honestly",
    says="its content depends on the way of asking {size:.1f} standard deviations {more} than by chance",
    compute=compute,
    minimum=30,
)
