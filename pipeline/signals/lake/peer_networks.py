"""Whether the accounts nearest in content come from the same networks.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> compute(lake([[0] * 9, [0] * 9])).tolist()
[nan, nan]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.lake.base import LakeSignal, overlaps

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    sketch = accounts.profiles.distinct["client_network_distinct"]
    return accounts.over_peers(lambda rows, others: overlaps(sketch, rows, others))


SIGNAL = LakeSignal(
    name="peer_networks",
    units="Jaccard similarity",
    formula="mean over 20 peers of the overlap of the client-network sketches",
    source="own experiments: peers, the 20 nearest accounts by debiased centroid cosine; Anthropic's report: shared networks",
    sees="one operator behind many accounts",
    misses="offices, labs and campuses share networks, clouds are everybody's",
    says="it shares {value:.1%} of its networks with its nearest accounts",
    compute=compute,
)
