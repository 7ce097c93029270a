"""How much more often the next prompt has the same topic than chance.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence([0] * 20 + [1] * 20)), 2)
0.95
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal, same_pairs

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    follows = np.diff(records.prompt) != 0
    expected = same_pairs(records.topic)
    if follows.sum() < 20 or not expected < 1.0 - 1e-9:
        return NAN
    return (float((np.diff(records.topic) == 0)[follows].mean()) - expected) / (1.0 - expected)


SIGNAL = SequenceSignal(
    name="topic_persistence",
    units="share",
    formula="(consecutive different prompts of one topic - pairs of one topic) / (1 - the latter)",
    source="kappa (Cohen 1960) of a nominal series; Glasswally looks at topic transitions",
    sees="conversations",
    misses="ordered lists persist, side-by-side streams do not",
    says="its topics follow themselves {size:.2f} {more} than by chance",
    compute=compute,
)
