"""Whether the accounts nearest in content also have the same input lengths.

Examples
--------
>>> from pipeline.signals.lake.example import lake
>>> kinds = [{0: 9}] * 3 + [{1: 9}] * 3
>>> compute(lake([[0] * 9] * 3 + [[1] * 9] * 3, askable={"input_tokens_histogram": kinds})).round(2).tolist()
[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.lake.base import LakeSignal, alike

if TYPE_CHECKING:
    from pipeline.signals.lake.base import LakeAccounts, Numbers


def compute(accounts: LakeAccounts) -> Numbers:
    """See the formula below."""
    return alike(accounts, "input_tokens_histogram")


SIGNAL = LakeSignal(
    name="peer_inputs",
    units="Bhattacharyya coefficient",
    formula="mean over 20 peers of sum sqrt(p q) of `input_tokens_histogram`, minus the mean over all other accounts",
    source="own experiments: peers, the 20 nearest accounts by debiased centroid cosine",
    sees="one wrapper around one corpus",
    misses="likeness of content by itself",
    says="the input lengths of its nearest accounts are {size:.2f} {more} like its own than anybody's in the lake",
    compute=compute,
)
