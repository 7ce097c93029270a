"""How soon a repeat follows, against a random order.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> compute(sequence(range(40), prompts=[i // 4 for i in range(40)])) < -2
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    order = np.argsort(records.prompt, kind="stable")
    same = np.diff(records.prompt[order]) == 0
    lags = np.diff(order)[same]
    if len(lags) < 5:
        return NAN
    counts = records.multiplicity[records.multiplicity >= 2].astype(np.float64)
    # In a random order the m places of one prompt cut the sequence into m + 1 equal parts on average.
    expected = ((counts - 1) * (len(records) + 1) / (counts + 1)).sum() / (counts - 1).sum()
    return float(np.log(lags.mean() / expected))


SIGNAL = SequenceSignal(
    name="repeat_lag",
    units="log ratio",
    formula="log(mean places between a prompt and its repeat / expected in a random order)",
    source="places of m among n in random order (order statistics of the discrete uniform)",
    sees="answers drawn one after the other and retries (low) against popular questions (0)",
    misses="accounts that hardly repeat have no value",
    says="its repeats follow {exponential} times as late as in a random order",
    compute=compute,
)
