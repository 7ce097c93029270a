"""Names of benign classes: plain terms of the field for a form of use, by how its signals stand.

Each portrait says, in normal scores (0 is the middle of the population, 1 a high account, -1 a low one), where a
form of use stands in the signals that mark it. They come from what such uses are, and were completed by looking at
the classes found in simulated worlds. A found class takes the name of the portrait that it resembles most, the most
alike first and each name once; a class that resembles none is named after its most outstanding signals.

A name describes form, not purpose: research that asks by day in sessions is among conversations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

PORTRAITS: dict[str, dict[str, float]] = {
    "many users behind one account (reseller)": {
        "behaviour_dependence": 2, "sampling_entropy": 2, "session_pace": 2, "gap_entropy": 2,
        "input_length_entropy": 2, "effective_rank": 1.5, "network_entropy": 1.5, "mean_pairwise_cosine": -1.2,
    },
    "test suite (evaluation)": {
        "minute_entropy": -2, "hour_entropy": -2, "burstiness": 1.7, "session_length": 1.5, "prompt_growth": -1.8,
        "repeat_share": 1.5, "hour_excess": 1.6,
    },
    "research": {
        "logprobs_share": 1, "prompt_growth": -1, "topic_evenness": 0.8, "near_pair_rate": -1, "topic_return": -1,
        "session_length": 0.7, "gap_entropy": -0.7, "repeat_share": 0.6,
    },
    "list worker (one pass, each prompt once)": {
        "prompt_growth": 1.9, "repeat_share": -1.9, "multiplicity_dispersion": -1.8, "fresh_slots": 1.8,
        "template_share": 0.8, "recency_similarity": -0.7, "hour_entropy": 0.6,
    },
    "list worker (batch, one subject)": {
        "prompt_growth": 1.1, "repeat_share": -1.1, "fresh_slots": 1.1, "multiplicity_dispersion": -1,
        "topic_memory": -0.9, "mean_pairwise_cosine": 0.9, "topic_evenness": -0.7, "streamed_share": -0.6,
    },
    "list worker (batch, many subjects)": {
        "prompt_growth": 1.1, "repeat_share": -1.1, "fresh_slots": 1.1, "multiplicity_dispersion": -1,
        "effective_rank": 1, "near_pair_rate": -0.9, "topic_return": -0.8, "mean_pairwise_cosine": -0.6,
        "recency_similarity": -0.7, "session_length": 0.5,
    },
    "support application": {
        "multiplicity_dispersion": 1.1, "hour_excess": -0.9, "repeat_share": 0.8, "hour_entropy": 0.8,
        "burstiness": -0.7, "prompt_growth": -0.7, "recency_similarity": -0.6, "session_length": -0.6,
    },
    "one narrow subject (niche)": {
        "effective_rank": -1.7, "topic_return": 1.7, "near_pair_rate": 1.6, "mean_pairwise_cosine": 1.5,
        "topic_memory": -1.4, "repeat_share": 0.9,
    },
    "working sessions on one subject (agents, tutoring)": {
        "near_pair_rate": 1, "topic_return": 0.9, "recency_similarity": 0.9, "effective_rank": -0.8,
        "topic_evenness": -0.7, "mean_pairwise_cosine": 0.7, "multiplicity_dispersion": 0.6,
    },
    "conversations (many subjects)": {
        "mean_pairwise_cosine": -1.2, "topic_memory": 1, "template_share": -1, "effective_rank": 0.9,
        "topic_return": -0.8, "fresh_slots": -0.6, "streamed_share": 0.5,
    },
    "conversations (by day)": {
        "recency_similarity": 0.8, "hour_excess": 0.7, "hour_entropy": -0.7, "template_share": -0.6,
        "fresh_slots": -0.6, "streamed_share": 0.5, "longest_rest": 0.4,
    },
    "conversations (templated)": {
        "fresh_slots": 0.9, "prompt_growth": 0.8, "session_length": -0.6, "mean_pairwise_cosine": -0.7,
        "topic_memory": 0.8, "recency_similarity": 0.5, "effective_rank": 0.6, "longest_rest": 0.4,
    },
    "application with users (short sessions)": {
        "recency_similarity": 0.7, "burstiness": -0.8, "session_length": -0.7, "hour_excess": -0.6,
        "hour_entropy": 0.6, "near_pair_rate": 0.5, "topic_return": 0.5, "multiplicity_dispersion": 0.4,
    },
}  # fmt: skip
# Cosine of a class's centre and a portrait over all signals of the space; below it they do not resemble.
RESEMBLES = 0.55
OUTSTANDING = 3
# A centre without a signal as far from the middle as this has no marked form.
MARKED = 1.0
ORDINARY = "ordinary use (nothing stands out)"


def resemblance(centre: NDArray[np.float64], space: Sequence[str], portrait: Mapping[str, float]) -> float:
    """Cosine of a centre, float64[S], and a portrait (0 where it says nothing)."""
    drawn = np.array([portrait.get(name, 0.0) for name in space])
    lengths = float(np.sqrt((centre**2).sum() * (drawn**2).sum()))
    return float((centre * drawn).sum() / lengths) if lengths > 0 else 0.0


def outstanding(centre: NDArray[np.float64], space: Sequence[str]) -> str:
    """A name from the most outstanding signals.

    Examples
    --------
    >>> outstanding(np.array([0.1, -2.0, 1.0]), ["a", "repeat_share", "output_tokens"])
    'low repeat share, high output tokens, high a'
    """
    order = sorted(range(len(space)), key=lambda j: (-abs(centre[j]), space[j]))[:OUTSTANDING]
    return ", ".join(f"{'high' if centre[j] > 0 else 'low'} {space[j].replace('_', ' ')}" for j in order)


def name_classes(centres: NDArray[np.float64], space: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Names of classes with centres float64[K, S], in their order; none twice, and none of ``taken``."""
    pairs = [
        (-resemblance(centre, space, portrait), name, row)
        for row, centre in enumerate(centres)
        for name, portrait in PORTRAITS.items()
        if name not in taken
    ]
    found = [""] * len(centres)
    for unlike, name, row in sorted(pairs):
        if -unlike >= RESEMBLES and not found[row] and name not in found:
            found[row] = name
    used = set(taken) | set(found)
    for row, centre in enumerate(centres):
        if not found[row] and ORDINARY not in used and float(np.abs(centre).max()) < MARKED:
            found[row] = ORDINARY
            used.add(ORDINARY)
    for row, name in enumerate(found):
        if not name:
            plain = fresh = outstanding(centres[row], space)
            again = 2
            while fresh in used:
                fresh, again = f"{plain} ({again})", again + 1
            found[row] = fresh
            used.add(fresh)
    return found
