"""Whether the account shares fewer prompts with the lake than those who work on the same content.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> prompts = [[1, 2, 3, 4], [3, 4, 5, 6], [7, 8, 9, 10]]
>>> compute(lake([[0] * 4] * 3, prompts=prompts)).tolist()
[0.25, 0.25, -0.5]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.lake import shared_prompts
from pipeline.signals.lake.base import LakeSignal

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    return accounts.against_peers(shared_prompts.compute(accounts))


SIGNAL = LakeSignal(
    name="shared_against_peers",
    units="share of prompts",
    formula="`shared_prompts` - its mean over the 20 peers",
    source="own experiments: an overlap deficit is the cheap sign of a hydra; here against the whole lake",
    sees="a corpus shared out so that nothing is sent twice, among accounts on public sets",
    misses="where nobody shares prompts there is nothing to miss",
    says="it shares {size:.1%} of its prompts {more} with the lake than its peers do",
    compute=compute,
)
