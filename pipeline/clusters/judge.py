"""Judge groups: the sum of a group's profiles as one account, and what is said of it as a group.

The score is a sum of small trees (`models.GroupTrees`), and so a sum of what each number adds. Its p-value is conformal against benign groups that the same procedure
found in other worlds (companies, labs, tenants of one application, workers that share a job out, accounts merely
alike) with as sure ties (`models.GroupNull`), and a fitted tail beyond their 90 % quantile. It says how rare such a score is *among benign groups like
those*: exchangeability of this lake's benign groups with them is an assumption, and no lake can test it by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.clusters.find import group_columns
from pipeline.clusters.models import shipped, shipped_groups, shipped_null
from pipeline.detectors.base import MIN_RECORDS, Judgement
from pipeline.detectors.tail import ParetoTail
from pipeline.signals import SIGNALS
from pipeline.signals.content import CONTENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.clusters.find import Cluster
    from pipeline.clusters.models import GroupNull, GroupTrees
    from pipeline.signals import SignalTable

FEWEST_ACCOUNTS = 50
"""With fewer accounts to rank among, groups are found and not judged."""

NULL_START = 0.9
NULL_SHAPES = (0.0, 0.5)
"""Of the tail: it has no end. Where it would end, a few hundred benign groups do not show."""

MOST_MEMBERS = 8
"""More members than these make a group no more suspicious: honest fleets are large too."""

SUM = "sum_"
"""Prefix of a signal of the summed profile among the numbers of a group."""


SURROUNDINGS = ("network_entropy", "user_agent_entropy", "minute_entropy", "other_language_share")

JUDGED: tuple[str, ...] = (
    "members",
    "likeness",
    "union_overlap",
    "missing_overlap",
    "own_repeats",
    "topic_gain",
    "topic_evenness",
    "topics_met",
    *(SUM + name for name in SIGNALS if name not in SURROUNDINGS and name not in CONTENT),
)
"""The numbers that a group is judged by.

That members share networks, payment, user agents, parameters or hours found the group and is not held against it:
companies, labs and campuses share all of that; how likely a pair has one operator (``likeness``) and how many members there
are (up to eight) say how sure it is that there is a group. What is judged is form: what they send, together, as one
account, how many parameters and models it uses and how its hours are spread included. What is asked about is no part.
"""


def judged_numbers(numbers: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Of `GROUP_SIGNALS` and the ranks of sums, those that are judged."""
    out = {name: numbers[name] for name in JUDGED}
    most: NDArray[np.float64] = np.minimum(out["members"], np.log2(float(MOST_MEMBERS)))
    return {**out, "members": most}


def sum_ranks(sums: SignalTable, lake: SignalTable) -> dict[str, NDArray[np.float64]]:
    """Mid-ranks, among a lake's accounts, of the profile signals of summed profiles; NaN without a value.

    Parameters
    ----------
    sums
        A row per group.
    lake
        Accounts; those with fewer than 50 records are passed over.
    """
    enough = lake.records >= MIN_RECORDS
    out: dict[str, NDArray[np.float64]] = {}
    for name in SIGNALS:
        known = lake.columns[name][enough]
        known = np.sort(known[~np.isnan(known)])
        value = sums.columns[name]
        place = np.searchsorted(known, value, "left") + np.searchsorted(known, value, "right")
        rank = np.round(place.astype(np.float64) / (2.0 * max(1, len(known))), 9)
        rank[np.isnan(value) | (len(known) < FEWEST_ACCOUNTS)] = np.nan
        out[SUM + name] = rank
    return out


MARGIN = 3.0
"""What p-values are multiplied by. A part of the null has one to five hundred groups, and p-values of an alert lie beyond them: of
what was not seen in n the 95 % confidence limit is 3 / n (rule of three, Hanley & Lippman-Hand, JAMA 249, 1983). A lake without
attackers has a handful of groups, so that the smallest of their p-values is soon in a list (decision 0014)."""


def judge_clusters(
    clusters: Sequence[Cluster],
    sums: SignalTable,
    lake: SignalTable,
    *,
    model: GroupTrees | None = None,
    null: GroupNull | None = None,
) -> Judgement:
    """Judge groups.

    Parameters
    ----------
    clusters
        From `find_clusters`.
    sums
        Profile signals of the sum of each one's members, a row for each in the same order.
    lake
        Profile signals of the lake's accounts.
    model, null
        Default: the shipped ones.

    Returns
    -------
    Judgement
        ``ranks`` are of the summed profile's signals in the lake; ``contributions`` of `GROUP_SIGNALS` and, under
        `SUM`, of the summed profile's; they add up to the score less the base of the trees.
    """
    model = model or shipped_groups()
    null = shipped_null() if null is None else null
    if not clusters:
        return Judgement(np.empty(0), np.empty(0), {}, {})
    ranks = sum_ranks(sums, lake)
    numbers = judged_numbers(group_columns(clusters) | ranks)
    score = model.score(numbers)
    enough = int((lake.records >= MIN_RECORDS).sum()) >= FEWEST_ACCOUNTS
    p = np.minimum(MARGIN * group_p_values(score, numbers["likeness"], null), 1.0)
    if not enough:
        score[:] = np.nan
        p[:] = np.nan
    parts = model.parts(numbers)
    return Judgement(score, p, {name.removeprefix(SUM): each for name, each in ranks.items()}, parts)


def group_p_values(
    score: NDArray[np.float64], likeness: NDArray[np.float64], null: GroupNull
) -> NDArray[np.float64]:
    """``(1 + null scores at least as high) / (1 + null scores)``, beyond the 90 % quantile a Pareto tail, float64[k].

    Null scores are those of the part that a group's ``likeness`` float64[k] belongs to.
    """
    out = np.ones(len(score))
    parts = null.part_of(likeness)
    for number in np.unique(parts):
        mine, among = parts == number, null.part(int(number))
        if not len(among):
            continue
        above = len(among) - np.searchsorted(among, score[mine], "left")
        conformal: NDArray[np.float64] = (1.0 + above.astype(np.float64)) / (1.0 + len(among))
        tail = ParetoTail.fitted(among, NULL_START, NULL_SHAPES)
        beyond = np.minimum(conformal, tail.p_value(score[mine]))
        out[mine] = np.where(score[mine] > tail.start, beyond, conformal)
    return out


def judgement_fingerprint() -> str:
    """Of what groups are judged by: the figures that ship, and the margin."""
    return f"{shipped()['fingerprint']}/{MARGIN:g}"
