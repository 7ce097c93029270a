"""Find the groups of a lake: candidate pairs, evidence of each pair, communities, and what is said of each group."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipeline.clusters.candidates import NEAREST, candidate_pairs
from pipeline.clusters.communities import LEAST_LOG_ODDS, communities
from pipeline.clusters.group_signals import GROUP_SIGNALS, group_signals
from pipeline.clusters.models import shipped_pairs
from pipeline.clusters.pairs import PAIR_SIGNALS, PairReader
from pipeline.clusters.threads import in_threads
from pipeline.signals.lake.neighbours import host_product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.clusters.curves import Curves
    from pipeline.clusters.ties import AccountTies
    from pipeline.signals.lake.neighbours import Product


PAYMENT, NETWORK, TEMPLATE, PROMPT = "payment", "network", "template", "prompt"
EDGES_A_MEMBER = 10
"""Edges of a cluster that are published: of each member the most likely ones."""

PAIRS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Edge:
    """Two members and what ties them: ``log_odds``, and `PAIR_SIGNALS` with ``expected_overlap``."""

    account_a: str
    account_b: str
    log_odds: float
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One group.

    ``members`` account ids, sorted; ``links`` per member, how many others it is tied to; ``cosine`` per member, of its
    mean prompt with that of the others; ``shared`` what the ties rest on; ``numbers`` are its `GROUP_SIGNALS`;
    ``edges`` the most likely ones of each member.
    """

    cluster_id: str
    members: tuple[str, ...]
    links: tuple[int, ...]
    cosine: tuple[float, ...]
    shared: tuple[str, ...]
    numbers: Mapping[str, float]
    edges: tuple[Edge, ...]


def cluster_id(members: Sequence[str]) -> str:
    """A name that depends on the members alone.

    Examples
    --------
    >>> cluster_id(["b", "a"]) == cluster_id(["a", "b"])
    True
    """
    text = "\n".join(sorted(members)).encode()
    return f"cluster-{hashlib.blake2b(text, digest_size=8).hexdigest()}"


def find_clusters(
    ties: AccountTies,
    payments: Mapping[str, Sequence[str]],
    *,
    model: Curves | None = None,
    product: Product = host_product,
) -> list[Cluster]:
    """Groups of accounts that look like one operator's, in order of their first member.

    Parameters
    ----------
    ties
        All accounts of the lake, those with few records too.
    payments
        Payment ids of accounts.
    model
        Log odds of pairs; default: the shipped one.
    product
        Where matrix products run.
    """
    if len(ties) < 2:
        return []
    reader = PairReader(ties, payments)
    one, two = candidate_pairs(reader, product)
    log_odds = pair_log_odds(reader, one, two, model or shipped_pairs())
    return _clusters(reader, one, two, log_odds)


def pair_log_odds(
    reader: PairReader, one: NDArray[np.int64], two: NDArray[np.int64], model: Curves
) -> NDArray[np.float64]:
    """Log odds that the accounts of each pair have one operator, float64[m]."""
    reader.prepare()

    def block(low: int) -> NDArray[np.float64]:
        part = slice(low, low + PAIRS_AT_ONCE)
        return model.score(reader.signals(one[part], two[part]))

    return np.concatenate([np.empty(0), *in_threads(block, range(0, len(one), PAIRS_AT_ONCE))])


def _clusters(
    reader: PairReader, one: NDArray[np.int64], two: NDArray[np.int64], log_odds: NDArray[np.float64]
) -> list[Cluster]:
    groups = communities(one, two, log_odds)
    label = np.full(len(reader.ties), -1, np.int64)
    for number, rows in enumerate(groups):
        label[rows] = number
    inside = np.flatnonzero((log_odds >= LEAST_LOG_ODDS) & (label[one] == label[two]) & (label[one] >= 0))
    inside = inside[np.argsort(label[one[inside]], kind="stable")]
    edges = np.searchsorted(label[one[inside]], np.arange(len(groups) + 1))
    return [
        _cluster(reader, rows, one[mine], two[mine], log_odds[mine])
        for rows, mine in zip(groups, (inside[low:high] for low, high in pairwise(edges)), strict=True)
    ]


def _cluster(
    reader: PairReader,
    rows: NDArray[np.int64],
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    log_odds: NDArray[np.float64],
) -> Cluster:
    ties = reader.ties
    numbers = reader.signals(one, two)
    sums = ties.embedding_sum[rows].astype(np.float64)
    rest = sums.sum(axis=0) - sums
    length = np.linalg.norm(sums, axis=1) * np.linalg.norm(rest, axis=1)
    cosine = (sums * rest).sum(axis=1) / np.maximum(length, 1e-12)
    degree = np.bincount(np.concatenate([one, two]), minlength=len(ties))[rows]
    members = [str(name) for name in ties.account_id[rows]]
    shared = {
        kind
        for kind, name in (
            (PAYMENT, "shared_payment"),
            (NETWORK, "rare_networks"),
            (TEMPLATE, "template_overlap"),
            (PROMPT, "overlap"),
        )
        if (np.nan_to_num(numbers[name]) > 0).any()
    }
    return Cluster(
        cluster_id(members),
        tuple(members),
        tuple(int(count) for count in degree),
        tuple(round(float(value), 6) for value in cosine),
        tuple(sorted(shared)),
        group_signals(ties, rows, numbers, log_odds, most_edges=NEAREST),
        _edges(reader, one, two, log_odds, numbers),
    )


def _edges(
    reader: PairReader,
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    log_odds: NDArray[np.float64],
    numbers: Mapping[str, NDArray[np.float64]],
) -> tuple[Edge, ...]:
    """Of each member the `EDGES_A_MEMBER` most likely edges, ties to the earlier partner."""
    index = np.arange(len(one))
    row, other, edge = np.concatenate([one, two]), np.concatenate([two, one]), np.concatenate([index, index])
    order = np.lexsort((other, -log_odds[edge], row))
    row, edge = row[order], edge[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = np.unique(edge[place < EDGES_A_MEMBER])
    expected = np.round(reader.expected(one[kept], two[kept]), 9)
    names = reader.ties.account_id
    return tuple(
        Edge(
            str(names[one[i]]),
            str(names[two[i]]),
            float(log_odds[i]),
            {
                **{name: float(numbers[name][i]) for name in PAIR_SIGNALS},
                "expected_overlap": float(expected[place]),
            },
        )
        for place, i in enumerate(kept)
    )


def group_columns(clusters: Sequence[Cluster]) -> dict[str, NDArray[np.float64]]:
    """`GROUP_SIGNALS` of clusters, float64[k] each."""
    return {name: np.array([each.numbers[name] for each in clusters], np.float64) for name in GROUP_SIGNALS}
