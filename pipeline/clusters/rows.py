"""Clusters as rows of the tables `cluster_edges` and `cluster_changes`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.clusters.identity import Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipeline.clusters.find import Cluster

TIMESTAMP = pa.timestamp("us")

# Column, and the number of the edge that it holds.
_NUMBERS = {
    "cosine": "cosine",
    "topic_cosine": "topic_cosine",
    "topic_distance": "topic_distance",
    "overlap": "overlap",
    "expected_overlap": "expected_overlap",
    "overlap_deficit": "overlap_deficit",
    "template_overlap": "template_overlap",
    "same_sampling": "same_sampling",
    "same_agents": "same_agents",
    "synchrony": "synchrony",
    "pivot_gap": "pivot_gap",
}

CLUSTER_EDGES = pa.schema(
    [
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("account_a", pa.string(), nullable=False),  # before account_b
        pa.field("account_b", pa.string(), nullable=False),
        pa.field("as_of", TIMESTAMP, nullable=False),
        pa.field("score", pa.float64(), nullable=False),  # log odds of one operator
        *(pa.field(name, pa.float64()) for name in _NUMBERS),
        pa.field("shared_networks", pa.int64()),  # that few accounts use; null: not known of both
        pa.field("shared_payments", pa.int64()),
    ]
)

CLUSTER_CHANGES = pa.schema(
    [
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("as_of", TIMESTAMP, nullable=False),
        pa.field("change", pa.string(), nullable=False),  # "joined", "left"
    ]
)


def edge_rows(clusters: Sequence[Cluster], names: Mapping[str, str], as_of: datetime | None) -> pa.Table:
    """`cluster_edges`; ``names`` are the lasting names by the clusters' own."""
    rows: list[dict[str, Any]] = [
        {
            "cluster_id": names[cluster.cluster_id],
            "account_a": edge.account_a,
            "account_b": edge.account_b,
            "as_of": as_of,
            "score": edge.log_odds,
            **{column: _value(edge.numbers[name]) for column, name in _NUMBERS.items()},
            "shared_networks": _count(math.expm1(edge.numbers["rare_networks"])),
            "shared_payments": _count(edge.numbers["shared_payment"]),
        }
        for cluster in clusters
        for edge in cluster.edges
    ]
    return pa.Table.from_pylist(rows, schema=CLUSTER_EDGES)


def change_rows(changes: Sequence[Change]) -> pa.Table:
    """`cluster_changes`."""
    rows = [{name: getattr(each, name) for name in CLUSTER_CHANGES.names} for each in changes]
    return pa.Table.from_pylist(rows, schema=CLUSTER_CHANGES)


def read_changes(table: pa.Table) -> list[Change]:
    """What `change_rows` wrote."""
    return [Change(**row) for row in table.select(CLUSTER_CHANGES.names).to_pylist()]


def _value(number: float) -> float | None:
    return None if math.isnan(number) else number


def _count(number: float) -> int | None:
    return None if math.isnan(number) else round(number)
