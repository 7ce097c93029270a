"""Clusters of a lake as a scoring run sees them: found, judged as one account each, named as they were yesterday."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.account_signals import filled
from pipeline.clusters.identity import Change, first_seen
from pipeline.clusters.rows import read_changes
from pipeline.clusters.run import find_and_judge_clusters
from pipeline.lake.reader import read_profiles
from pipeline.times import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipeline.alerts import Scope
    from pipeline.clusters.find import Cluster
    from pipeline.clusters.ties import AccountTies
    from pipeline.detectors.base import Judgement
    from pipeline.engine import Engine
    from pipeline.lake import Snapshot
    from pipeline.profiles import Profiles
    from pipeline.signals import Context, SignalTable

CLUSTER_DETECTOR = "groups"
"""Under this name go alerts about clusters."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Clusters of one run, all lists in the same order.

    ``clusters`` bear names made of their members alone, ``names`` are the lasting ones; ``totals`` are the sums of their
    members' profiles and ``sums`` the signals of these; ``first`` and ``last`` int64[k] are window starts.
    """

    clusters: tuple[Cluster, ...]
    names: tuple[str, ...]
    totals: tuple[Profiles, ...]
    sums: SignalTable
    first: np.ndarray[Any, np.dtype[np.int64]]
    last: np.ndarray[Any, np.dtype[np.int64]]
    judgement: Judgement
    changes: tuple[Change, ...]
    since: Mapping[tuple[str, str], datetime]

    def __len__(self) -> int:
        return len(self.clusters)

    @property
    def lasting(self) -> dict[str, str]:
        """The lasting name by that made of the members."""
        return {each.cluster_id: name for each, name in zip(self.clusters, self.names, strict=True)}


def judge_groups(
    snapshot: Snapshot,
    engine: Engine,
    ties: AccountTies,
    payments: Mapping[str, Sequence[str]],
    table: SignalTable,
    context: Context,
    scope: Scope,
    as_of: datetime | None,
    vector: Mapping[str, int] | None,
) -> Groups:
    """Find and judge the clusters of a lake.

    Parameters
    ----------
    table
        Signals of all accounts: among these the sums are ranked.
    vector
        Chain key to offset, where only records below it count. Lasting names are looked up all the same: verdicts on
        clusters are filed under them.
    """
    totals: dict[str, Profiles] = {}
    bounds: dict[str, tuple[int, int]] = {}

    def total(cluster: Cluster) -> Profiles:
        windows = read_profiles(snapshot, engine, cluster.members, scope.start, scope.stop, vector=vector)
        bounds[cluster.cluster_id] = int(windows.window_start.min()), int(windows.window_start.max())
        totals[cluster.cluster_id] = windows.by_account().total(cluster.cluster_id)
        return totals[cluster.cluster_id]

    history = _history(snapshot)
    time = as_of or moment(0)
    found = find_and_judge_clusters(ties, payments, table, total, context, as_of=time, previous=history)
    return Groups(
        found.clusters,
        tuple(found.names[each.cluster_id] for each in found.clusters),
        tuple(totals[each.cluster_id] for each in found.clusters),
        filled(found.sums),
        np.array([bounds[each.cluster_id][0] for each in found.clusters], np.int64),
        np.array([bounds[each.cluster_id][1] for each in found.clusters], np.int64),
        found.judgement,
        found.changes,
        first_seen(history, time),
    )


def _history(snapshot: Snapshot) -> list[Change]:
    """What earlier runs published of who joined and left."""
    return [
        change
        for path in snapshot.table_files("cluster_changes")
        for change in read_changes(pq.read_table(path))
    ]
