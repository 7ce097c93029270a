"""Lake signals: named numbers that compare an account with the others of the lake, one file each.

`LAKE_SIGNALS` is the registry: peers first, then cells, then prompts and models.
"""

from __future__ import annotations

from pipeline.signals.lake import (
    cell_company,
    cell_coverage,
    cell_crowding,
    cell_divergence,
    cell_excess,
    cell_higher_criticism,
    cell_rarity,
    close_accounts,
    coherence_against_peers,
    new_model_share,
    overlap_deficit,
    own_against_peers,
    own_collisions,
    peer_agents,
    peer_cosine,
    peer_divergence,
    peer_hours,
    peer_inputs,
    peer_models,
    peer_networks,
    peer_outputs,
    peer_prompts,
    peer_sampling,
    peer_synchrony,
    peer_system_prompts,
    peer_templates,
    peer_volume,
    shared_against_peers,
    shared_prompts,
)
from pipeline.signals.lake.base import PEERS, SAMPLE, LakeAccounts, LakeSignal, Sample
from pipeline.signals.lake.records import sample_of

LAKE_SIGNALS: dict[str, LakeSignal] = {
    module.SIGNAL.name: module.SIGNAL
    for module in (
        peer_cosine,
        close_accounts,
        peer_sampling,
        peer_hours,
        peer_outputs,
        peer_inputs,
        peer_agents,
        peer_models,
        peer_templates,
        peer_system_prompts,
        peer_networks,
        peer_prompts,
        overlap_deficit,
        peer_volume,
        peer_synchrony,
        cell_company,
        cell_rarity,
        cell_divergence,
        cell_excess,
        cell_higher_criticism,
        cell_coverage,
        own_collisions,
        own_against_peers,
        cell_crowding,
        coherence_against_peers,
        shared_against_peers,
        peer_divergence,
        shared_prompts,
        new_model_share,
    )
}

__all__ = ["LAKE_SIGNALS", "PEERS", "SAMPLE", "LakeAccounts", "LakeSignal", "Sample", "sample_of"]
