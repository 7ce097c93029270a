"""Which cluster of today is which of yesterday's, and who joined and left: a fold over what earlier runs published.

`CHANGES` rows say (cluster, account, joined or left, as of). Who was in which cluster before a time is what the rows of
earlier times add up to, so that judging the same time twice, or an older time once more, changes nothing: rows of that
time are never read, and are written anew.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

JOINED, LEFT = "joined", "left"

LEAST_CONTAINED = 0.5
"""Two clusters are one if they share so much of the smaller of them, and `LEAST_SHARED` accounts."""

LEAST_SHARED = 2


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """An account joined or left a cluster (``change``), as of a time."""

    cluster_id: str
    account_id: str
    as_of: datetime
    change: str


def members_before(changes: Iterable[Change], as_of: datetime) -> dict[str, set[str]]:
    """Members of each cluster from changes of earlier times; clusters that everybody left are not there."""
    found: dict[str, set[str]] = defaultdict(set)
    # A time's changes of one account and cluster are one: nobody leaves and joins at once.
    for each in sorted((each for each in changes if each.as_of < as_of), key=lambda each: each.as_of):
        if each.change == JOINED:
            found[each.cluster_id].add(each.account_id)
        else:
            found[each.cluster_id].discard(each.account_id)
    return {name: members for name, members in found.items() if members}


def identities(today: Mapping[str, Sequence[str]], before: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The lasting name of each of today's clusters.

    Pairs are taken greedily: those with the most accounts in common first, then the larger share of the union, then
    by name. What splits off gets a name of its own, and of clusters that merge the one that gave most lives on.

    Parameters
    ----------
    today
        Members by the name that depends on them alone.
    before
        Members by lasting name.

    Examples
    --------
    >>> identities({"new": ["a", "b", "c", "d"]}, {"old": ["a", "b", "c"]})
    {'new': 'old'}
    """
    home = defaultdict(list)
    old = {name: set(members) for name, members in before.items()}
    for name, members in old.items():
        for account in members:
            home[account].append(name)
    pairs = []
    for name, accounts in today.items():
        mine = set(accounts)
        for other in {each for account in mine for each in home.get(account, ())}:
            common = len(mine & old[other])
            if common >= LEAST_SHARED and common >= LEAST_CONTAINED * min(len(mine), len(old[other])):
                pairs.append((-common, -common / len(mine | old[other]), other, name))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, other, name in sorted(pairs):
        if name not in found and other not in taken:
            found[name] = other
            taken.add(other)
    for name in sorted(today):
        if name not in found:
            found[name] = _fresh(name, taken | set(old))
            taken.add(found[name])
    return {name: found[name] for name in today}


def _fresh(name: str, taken: set[str]) -> str:
    """The name itself, unless a cluster that changed since has it."""
    while name in taken:
        name = f"cluster-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
    return name


def changes_now(
    today: Mapping[str, Sequence[str]], before: Mapping[str, Iterable[str]], as_of: datetime
) -> list[Change]:
    """Who joined and left, sorted; a cluster that is gone was left by all.

    Parameters
    ----------
    today
        Members by lasting name.
    before
        As `members_before` gives them.
    as_of
        The time that is judged.
    """
    out = []
    for name in sorted({*today, *before}):
        mine, theirs = set(today.get(name, ())), set(before.get(name, ()))
        out += [Change(name, account, as_of, JOINED) for account in mine - theirs]
        out += [Change(name, account, as_of, LEFT) for account in theirs - mine]
    return sorted(out)


def first_seen(changes: Iterable[Change], as_of: datetime) -> dict[tuple[str, str], datetime]:
    """Since when each account is in each cluster without a break, from changes of earlier times."""
    out: dict[tuple[str, str], datetime] = {}
    for each in sorted((each for each in changes if each.as_of < as_of), key=lambda each: each.as_of):
        if each.change == JOINED:
            out.setdefault((each.cluster_id, each.account_id), each.as_of)
        else:
            out.pop((each.cluster_id, each.account_id), None)
    return out
