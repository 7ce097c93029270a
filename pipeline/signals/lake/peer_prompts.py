"""How many prompts the accounts nearest in content share with it.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 4, [0] * 4], prompts=[[1, 2, 3, 4], [3, 4, 5, 6]])).round(3).tolist()
[0.333, 0.333]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.lake.base import LakeSignal, overlaps

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    sketch = accounts.profiles.distinct["prompt_distinct"]
    return accounts.over_peers(lambda rows, others: overlaps(sketch, rows, others))


SIGNAL = LakeSignal(
    name="peer_prompts",
    units="Jaccard similarity",
    formula="mean over 20 peers of the overlap of the prompt sketches",
    source="own experiments: peers, the 20 nearest accounts by debiased centroid cosine; overlap of bottom-k sketches: Beyer et al., SIGMOD 2007",
    sees="public sets, applications with ready questions",
    misses="zero is usual: see `overlap_deficit`",
    says="it shares {value:.2%} of its prompts with its nearest accounts",
    compute=compute,
)
