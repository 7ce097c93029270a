"""Groups of accounts that may be one: found, judged as one account, and followed from day to day."""

from __future__ import annotations

from pipeline.clusters.minimal import MIN_MEMBERS, AccountTies, Cluster, cluster_id, find_clusters

__all__ = ["MIN_MEMBERS", "AccountTies", "Cluster", "cluster_id", "find_clusters"]
