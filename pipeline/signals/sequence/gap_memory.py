"""Whether a short pause follows a short one.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(41), seconds=[sum([1, 1, 1, 100, 100, 100][k % 6] for k in range(i)) for i in range(41)])), 1)
0.3
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import NAN, SequenceSignal

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    one, two = records.log_gaps[:-1], records.log_gaps[1:]
    size = float(one.std() * two.std())
    return float(((one - one.mean()) * (two - two.mean())).mean()) / size if size > 1e-12 else NAN


SIGNAL = SequenceSignal(
    name="gap_memory",
    units="correlation",
    formula="correlation of consecutive log pauses",
    source="memory coefficient (Goh & Barabasi, EPL 81, 2008)",
    sees="sittings and batches",
    misses="accounts of several streams mix their pauses",
    says="its consecutive pauses correlate by {value:.2f}",
    compute=compute,
)
