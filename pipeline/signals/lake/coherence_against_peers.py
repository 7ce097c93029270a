"""Whether the account is narrower than those who work on the same content.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> found = compute(lake([[0] * 20, *[[0, 1] * 10] * 4]))
>>> bool(found[0] > 0.3 > found[1])
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import readings
from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    return accounts.against_peers(readings.mean_pairwise_cosine(accounts.profiles))


SIGNAL = LakeSignal(
    name="coherence_against_peers",
    units="cosine",
    formula="mean pairwise cosine - mean of the 20 peers' mean pairwise cosines",
    source="own experiments on specialists: compare with those who work on the same content",
    sees="specialists in a part of what their peers work on, whatever the corpus",
    misses="accounts without true peers",
    says="its prompts are {size:.2f} {closer} on average than those of its peers",
    compute=compute,
)
