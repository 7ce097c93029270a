"""Signals: named numbers read from the profile of an account, one file each.

`SIGNALS` is the registry, in the order of the columns of `account_scores`; `signal_table` computes all of them.
A signal has no direction: what speaks for an attack is the detector's business.
"""

from __future__ import annotations

from pipeline.signals import (
    effective_rank,
    harvest_likeness,
    harvest_mmd2,
    hour_entropy,
    input_length_entropy,
    logprobs_share,
    mean_pairwise_cosine,
    minute_entropy,
    model_entropy,
    multiple_choices_share,
    nearest_class_mmd2,
    network_entropy,
    other_language_share,
    output_length_entropy,
    output_tokens,
    population_mmd2,
    prompt_repeat_rate,
    reasoning_share,
    refusal_share,
    sampling_entropy,
    slots_per_template,
    streamed_share,
    template_share,
    topic_coverage,
    topic_entropy,
    unseen_topic_mass,
    user_agent_entropy,
)
from pipeline.signals.base import Context, Population, Signal
from pipeline.signals.table import SignalTable, signal_table

SIGNALS: dict[str, Signal] = {
    module.SIGNAL.name: module.SIGNAL
    for module in (
        mean_pairwise_cosine,
        effective_rank,
        topic_entropy,
        topic_coverage,
        unseen_topic_mass,
        population_mmd2,
        harvest_likeness,
        nearest_class_mmd2,
        harvest_mmd2,
        prompt_repeat_rate,
        slots_per_template,
        template_share,
        sampling_entropy,
        reasoning_share,
        multiple_choices_share,
        logprobs_share,
        streamed_share,
        refusal_share,
        other_language_share,
        input_length_entropy,
        output_length_entropy,
        output_tokens,
        hour_entropy,
        minute_entropy,
        network_entropy,
        user_agent_entropy,
        model_entropy,
    )
}

__all__ = ["SIGNALS", "Context", "Population", "Signal", "SignalTable", "signal_table"]
