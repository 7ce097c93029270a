"""Which signals classes are told apart by, and the space of their normal scores.

Classes describe *form*: sittings, clocks, repeats, templates, breadth, ways of asking. Nothing here depends on what
the content is about, so a harvest and a tutor on the same corpus do not share a class for that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SPACE = (
    # Sittings and clocks.
    "recency_similarity",
    "session_length",
    "session_pace",
    "burstiness",
    "hour_excess",
    "longest_rest",
    "gap_entropy",
    "hour_entropy",
    "minute_entropy",
    # Repeats and templates.
    "repeat_share",
    "multiplicity_dispersion",
    "prompt_growth",
    "template_share",
    "fresh_slots",
    # Breadth of content, whatever it is about.
    "mean_pairwise_cosine",
    "effective_rank",
    "topic_evenness",
    "topic_return",
    "near_pair_rate",
    "topic_memory",
    # Ways of asking, and whether there are several.
    "sampling_entropy",
    "reasoning_share",
    "logprobs_share",
    "streamed_share",
    "output_tokens",
    "behaviour_dependence",
    "network_entropy",
    "input_length_entropy",
)
# Ranks beyond these say no more: a normal score of +-3.
_LOW = 0.00135


def normal_scores(
    ranks: Mapping[str, NDArray[np.float64]], names: Sequence[str], n: int
) -> NDArray[np.float64]:
    """Normal scores of mid-ranks, float64[n, signals]; NaN without a rank.

    Examples
    --------
    >>> normal_scores({"a": np.array([0.5, np.nan, 1.0])}, ["a", "b"], 3).round(1).tolist()
    [[0.0, nan], [nan, nan], [3.0, nan]]
    """
    out = np.full((n, len(names)), np.nan)
    for j, name in enumerate(names):
        if name in ranks:
            out[:, j] = ndtri(np.clip(ranks[name], _LOW, 1 - _LOW))
    return out
