"""What can be said of a group as a whole: named numbers of the cluster beside the signals of its summed profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.clusters.pairs import distinct_counts
from pipeline.kernels.distinct import PADDING
from pipeline.profiles.schema import DISTINCT_FIELDS, SKETCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.clusters.ties import AccountTies

THIN = 50
"""Accounts with fewer records are judged in clusters only."""


@dataclass(frozen=True, slots=True)
class GroupSignal:
    """One number of a group: its ``name``, ``formula``, and in words what it ``says`` (``{value}``)."""

    name: str
    formula: str
    says: str


GROUP_SIGNALS: dict[str, GroupSignal] = {
    signal.name: signal
    for signal in (
        GroupSignal("members", "log2 of the accounts", "{doubled} accounts"),
        GroupSignal("typical_records", "log10 of the members' median records", "10^{value:.1f} records each"),
        GroupSignal(
            "load_spread",
            "standard deviation of the log of the members' records",
            "loads that differ by a factor of {exponential}",
        ),
        GroupSignal(
            "thin_share", f"share of members with fewer than {THIN} records", "{value:.0%} with few records"
        ),
        GroupSignal("likeness", "mean log odds of the edges", "edges of mean log odds {value:.1f}"),
        GroupSignal(
            "edges", "edges over those that the members could have", "{value:.0%} of the pairs are edges"
        ),
        GroupSignal(
            "union_overlap",
            "1 - distinct prompts of all together / sum over members of their distinct prompts",
            "{value:.0%} of the prompts sent by several members",
        ),
        GroupSignal(
            "missing_overlap",
            "mean over edges of overlap_deficit",
            "{value:.1f} deviations fewer prompts in common than users of one pool",
        ),
        GroupSignal(
            "own_repeats",
            "1 - distinct prompts / records, median over members",
            "{value:.0%} of a member's prompts repeat",
        ),
        GroupSignal(
            "topic_gain",
            "log of the effective topics of the sum over the members' median",
            "together {exponential} times the topics of one",
        ),
        GroupSignal(
            "topic_evenness",
            "entropy of the sum's topics over the log of how many it meets",
            "topics evenly used to {value:.0%}",
        ),
        GroupSignal(
            "topics_met",
            "topics met by the sum, of 256, less what its size lets expect: log of met / min(256, records)",
            "{exponential} of the topics that it could meet",
        ),
        GroupSignal("alike_sampling", "mean over edges of same_sampling", "parameters agree ({value:.1f})"),
        GroupSignal("alike_agents", "mean over edges of same_agents", "user agents agree ({value:.1f})"),
        GroupSignal(
            "alike_templates", "mean over edges of template_overlap", "{value:.0%} of templates shared"
        ),
        GroupSignal("tied_networks", "share of edges with a rare network", "{value:.0%} share rare networks"),
        GroupSignal("tied_payments", "share of edges with a payment id", "{value:.0%} share payment"),
        GroupSignal(
            "networks_a_member",
            "log of the distinct networks of all over members",
            "{exponential} networks a member",
        ),
        GroupSignal("synchrony", "mean over edges of synchrony", "activity correlates by {value:.2f}"),
        GroupSignal("alike_sizes", "mean over edges of size_ratio", "sizes differ by {exponential}"),
    )
}


def group_signals(
    ties: AccountTies,
    rows: NDArray[np.int64],
    edges: Mapping[str, NDArray[np.float64]],
    log_odds: NDArray[np.float64],
    *,
    most_edges: int,
) -> dict[str, float]:
    """`GROUP_SIGNALS` of one group; NaN where there is no value.

    Parameters
    ----------
    ties
        Of the lake.
    rows
        Members, ascending.
    edges
        `PAIR_SIGNALS` of the pairs inside that are edges.
    log_odds
        Of those.
    most_edges
        Pairs of an account that were looked at, at most.
    """
    records = ties.records[rows].astype(np.float64)
    n = len(rows)
    prompts = ties.hashes[rows, DISTINCT_FIELDS.index("prompt_distinct")]
    networks = ties.hashes[rows, DISTINCT_FIELDS.index("client_network_distinct")]
    distinct = distinct_counts(prompts)
    known = distinct > 0
    topics = ties.field("topic_count")[rows].astype(np.float64)
    whole = topics.sum(axis=0)
    met = int((whole > 0).sum())
    out = {
        "members": float(np.log2(n)),
        "typical_records": float(np.log10(np.median(records))),
        "load_spread": float(np.log(records).std()),
        "thin_share": float((records < THIN).mean()),
        "likeness": _mean(log_odds),
        "edges": len(log_odds) / (n * min(n - 1, most_edges) / 2),
        "union_overlap": 1 - _union(prompts) / distinct.sum() if known.any() else np.nan,
        "missing_overlap": _mean(edges["overlap_deficit"]),
        "own_repeats": float(np.median(1 - distinct[known] / records[known])) if known.any() else np.nan,
        "topic_gain": _entropy(whole[None])[0] - float(np.median(_entropy(topics))),
        "topic_evenness": _entropy(whole[None])[0] / np.log(met) if met > 1 else np.nan,
        "topics_met": float(np.log(met / min(whole.sum(), len(whole)))) if met else np.nan,
        "alike_sampling": _mean(edges["same_sampling"]),
        "alike_agents": _mean(edges["same_agents"]),
        "alike_templates": _mean(edges["template_overlap"]),
        "tied_networks": _mean(np.minimum(edges["rare_networks"], np.log(2.0)) / np.log(2.0)),
        "tied_payments": _mean(edges["shared_payment"]),
        "networks_a_member": float(np.log(_union(networks) / n)) if _union(networks) else np.nan,
        "synchrony": _mean(edges["synchrony"]),
        "alike_sizes": _mean(edges["size_ratio"]),
    }
    return {name: round(float(out[name]), 9) for name in GROUP_SIGNALS}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _union(sketches: NDArray[np.uint64]) -> float:
    """Distinct values behind the union of sketches."""
    values = np.unique(sketches[sketches != PADDING])[:SKETCH]
    padded = np.full((1, SKETCH), PADDING, np.uint64)
    padded[0, : len(values)] = values
    return float(distinct_counts(padded)[0])


def _entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats, Miller-Madow corrected."""
    n = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    share = counts / n
    plain = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    out: NDArray[np.float64] = plain + ((counts > 0).sum(axis=1) - 1) / (2.0 * n[:, 0])
    return out
