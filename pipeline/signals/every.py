"""Every signal that is in use, whatever it is read from: one registry for scoring, fitting and evaluation.

`EVERY` lists profile signals first, then those of sequences, then those of the lake: the order of the columns of
`account_scores`. `FAMILY` says of each what it is about, so that an ablation can leave out everything of one kind.
"""

from __future__ import annotations

from typing import Protocol

from pipeline.signals import SIGNALS
from pipeline.signals.content import CONTENT
from pipeline.signals.lake import LAKE_SIGNALS, LakeSignal
from pipeline.signals.sequence import SEQUENCE_SIGNALS, SequenceSignal

WEAK = (
    "slots_in_sequence",
    "neighbour_dispersion",
    "gap_memory",
    "template_runs",
    "scan_share",
    "hour_dependence",
    "peer_models",
    "peer_inputs",
    "peer_outputs",
    "peer_volume",
    "peer_prompts",
    "cell_divergence",
)
"""Signals that say little, or what a better one says (docs/signals.md): not in use. ``scan_share`` explains a part."""


class Described(Protocol):
    """What scoring and explaining need of a signal, whatever it is read from."""

    @property
    def name(self) -> str:
        """Column of `account_scores`."""
        ...

    @property
    def units(self) -> str:
        """What it counts in."""
        ...

    def sentence(self, value: float) -> str:
        """A value in words."""
        ...


SEQUENCE: dict[str, SequenceSignal] = {
    name: signal for name, signal in SEQUENCE_SIGNALS.items() if name not in WEAK
}
"""Sequence signals in use."""

LAKE: dict[str, LakeSignal] = {name: signal for name, signal in LAKE_SIGNALS.items() if name not in WEAK}
"""Lake signals in use."""

EVERY: dict[str, Described] = {**SIGNALS, **SEQUENCE, **LAKE}
"""Every signal in use."""

DETAILS: tuple[str, ...] = (*SEQUENCE, *LAKE)
"""Those that are read from records and not from the account's own profile alone."""

_FAMILIES: dict[str, tuple[str, ...]] = {
    "spread": (
        "mean_pairwise_cosine",
        "effective_rank",
        "population_mmd2",
        "neighbour_distance",
        "near_pair_rate",
        "coherence_against_peers",
    ),
    "coverage": (
        "topic_entropy",
        "topic_coverage",
        "unseen_topic_mass",
        "topic_return",
        "region_growth",
        "topic_evenness",
        "own_collisions",
        "own_against_peers",
        "peer_divergence",
    ),
    "content": CONTENT,
    "cells": (
        "cell_company",
        "cell_rarity",
        "cell_excess",
        "cell_higher_criticism",
        "cell_coverage",
        "cell_crowding",
    ),
    "repeats": (
        "prompt_repeat_rate",
        "slots_per_template",
        "template_share",
        "repeat_share",
        "multiplicity_dispersion",
        "modal_multiplicity",
        "repeat_lag",
        "later_repeats",
        "fresh_slots",
        "prompt_growth",
    ),
    "sittings": (
        "session_coherence",
        "recency_similarity",
        "time_neighbours",
        "wander",
        "topic_persistence",
        "topic_memory",
        "chunk_coverage",
        "day_overlap",
        "self_drift",
    ),
    "clocks": (
        "hour_entropy",
        "minute_entropy",
        "gap_entropy",
        "gap_spread",
        "burstiness",
        "session_pace",
        "session_length",
        "hour_excess",
        "hour_rhythm",
        "longest_rest",
        "day_evenness",
    ),
    "parameters": (
        "sampling_entropy",
        "reasoning_share",
        "multiple_choices_share",
        "logprobs_share",
        "streamed_share",
        "model_entropy",
        "model_pivot",
        "new_model_share",
    ),
    "answers": (
        "refusal_share",
        "other_language_share",
        "input_length_entropy",
        "output_length_entropy",
        "output_tokens",
    ),
    "clients": ("network_entropy", "user_agent_entropy"),
    "dependence": (*(name for name in SEQUENCE if name.endswith("_dependence")), "scan_excess"),
    "peers": (
        "peer_cosine",
        "close_accounts",
        "peer_sampling",
        "peer_hours",
        "peer_agents",
        "peer_templates",
        "peer_system_prompts",
        "peer_networks",
        "peer_synchrony",
        "overlap_deficit",
        "shared_prompts",
        "shared_against_peers",
    ),
    "parts": tuple(name for name in EVERY if name.startswith("part_")),
}

OTHER = "other"
"""Family of a signal that none was given."""

FAMILY: dict[str, str] = {
    name: next((family for family, names in _FAMILIES.items() if name in names), OTHER) for name in EVERY
}
"""Name to family, a partition of `EVERY`."""
