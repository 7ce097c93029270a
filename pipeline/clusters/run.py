"""All of it for one lake: find the groups, judge each as one account, tell which of yesterday's it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.clusters.find import find_clusters
from pipeline.clusters.identity import changes_now, identities, members_before
from pipeline.clusters.judge import judge_clusters
from pipeline.signals import SIGNALS, SignalTable, signal_table
from pipeline.signals.lake.neighbours import host_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from pipeline.clusters.find import Cluster
    from pipeline.clusters.identity import Change
    from pipeline.clusters.ties import AccountTies
    from pipeline.detectors.base import Judgement
    from pipeline.profiles import Profiles
    from pipeline.signals import Context
    from pipeline.signals.lake.neighbours import Product


@dataclass(frozen=True, slots=True)
class JudgedClusters:
    """Groups of a lake, in order of their first member.

    ``sums`` are the profile signals of each one's summed profile; ``names`` the lasting name by the cluster's own;
    ``changes`` who joined and left as of this time.
    """

    clusters: tuple[Cluster, ...]
    sums: SignalTable
    judgement: Judgement
    names: Mapping[str, str]
    changes: tuple[Change, ...]


def find_and_judge_clusters(
    ties: AccountTies,
    payments: Mapping[str, Sequence[str]],
    lake: SignalTable,
    total: Callable[[Cluster], Profiles],
    context: Context,
    *,
    as_of: datetime,
    previous: Iterable[Change] = (),
    product: Product = host_product,
) -> JudgedClusters:
    """Find and judge.

    Parameters
    ----------
    ties
        All accounts, those with few records too.
    payments
        Payment ids of accounts.
    lake
        Profile signals of the lake's accounts, to rank among.
    total
        The sum of a cluster's members' profiles, one row.
    context
        The population that profile signals are compared with.
    as_of
        The time that is judged.
    previous
        Changes that earlier runs published; those of this time and later are passed over.
    product
        Where matrix products run.
    """
    clusters = find_clusters(ties, payments, product=product)
    sums = SignalTable.joined([signal_table(total(each), context) for each in clusters], list(SIGNALS))
    judgement = judge_clusters(clusters, sums, lake)
    before = members_before(previous, as_of)
    names = identities({each.cluster_id: each.members for each in clusters}, before)
    today = {names[each.cluster_id]: each.members for each in clusters}
    changes = changes_now(today, before, as_of)
    return JudgedClusters(tuple(clusters), sums, judgement, names, tuple(changes))
