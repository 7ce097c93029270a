"""Candidate parts of an account: sets of records that might be one use beside others.

By one value of a property and by two properties together; by the values of a property in order of their evidence,
the first, the first two, ... (the best union of values is one of these: Neill, JRSS B 74, 2012); by content, the
branches of an average-linkage tree of the records' cosines; and by content again, unions of branches in order of
evidence. The last two need no metadata. Stretches of time were tried: none was ever the harvest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from pipeline.signals.sequence.base import UNKNOWN, Kinds, spaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.signals.sequence.base import AccountSequence, Integers, Numbers

Flags = NDArray[np.bool_]
Candidate = tuple[str, Flags, float]

PROPERTIES = ("template", "system_prompt", "sampling", "model", "agent", "network", "reasoning")
TOGETHER = (("sampling", "model"), ("sampling", "model", "system_prompt"))
MINIMUM = 10
"""Records that a part must have, and leave outside."""

UNIONS = 12
"""Unions of a property's values that are tried."""

LEAVES = 256
"""Records of the content tree, evenly spaced: its cost grows with the square."""

BRANCHES = 48
"""Branches of the content tree that are tried, the most different ones from their parents."""

CUTS = (8, 24)
"""Numbers of branches of which unions are tried."""


FEW = 4
"""Values with fewer records count as one: ordering single records by their evidence would choose, not find."""


def candidates(records: AccountSequence, evidence: Numbers) -> tuple[list[str], Flags, Numbers]:
    """Parts that are worth a look, without duplicates; the first is the whole account.

    Parameters
    ----------
    records
        The account.
    evidence
        float64[n], in whose order values are joined.

    Returns
    -------
    tuple
        What each part has in common, bool[parts, n], and float64[parts], the log of how many sets each was chosen
        from: a union of k of v values is the best of about "v over k".
    """
    n = len(records)
    names, rows, chosen = ["whole account"], [np.ones(n, bool)], [0.0]
    seen = {rows[0].tobytes()}
    for name, mine, log_sets in _all(records, evidence):
        size = int(np.count_nonzero(mine))
        if not MINIMUM <= size <= n - MINIMUM:
            continue
        key = mine.tobytes()
        if key not in seen:
            seen.add(key)
            names.append(name)
            rows.append(mine)
            chosen.append(log_sets)
    return names, np.stack(rows), np.array(chosen)


def _all(records: AccountSequence, evidence: Numbers) -> Iterator[Candidate]:
    values: dict[str, Integers] = {}
    for name in PROPERTIES:
        codes = records.code(name)
        if len(codes) and (codes != codes[0]).any():
            values[name] = codes
    if "template" in values:
        yield from _template_kinds(values["template"])
    for name, codes in values.items():
        yield from _by_value(name, codes, evidence)
    for fields in TOGETHER:
        there = [name for name in fields if name in values]
        if len(there) > 1:
            yield from _by_value(" and ".join(there), _joint([values[name] for name in there]), evidence)
    yield from _by_content(records, evidence)


def _template_kinds(codes: Integers) -> Iterator[Candidate]:
    kinds = Kinds.of(codes)
    once = (kinds.counts[kinds.inverse] == 1) & (codes != UNKNOWN)
    yield "templates used once", once, 0.0
    yield "templates used again", ~once & (codes != UNKNOWN), 0.0


def _joint(columns: list[Integers]) -> Integers:
    out = np.zeros(len(columns[0]), np.int64)
    for codes in columns:
        kinds = Kinds.of(codes)
        out = Kinds.of(out * len(kinds.names) + kinds.inverse).inverse
    return out


def _by_value(name: str, codes: Integers, evidence: Numbers) -> Iterator[Candidate]:
    """Frequent values, an unknown one too, then unions of values in order of evidence."""
    place, size, order = _ranked(_without_rare(codes), evidence)
    if len(size) < 2:
        return
    for value in np.flatnonzero(size >= MINIMUM).tolist():
        yield name, place == value, 0.0
    yield from _unions(name, place, size, order)


def _without_rare(codes: Integers) -> Integers:
    kinds = Kinds.of(codes)
    return np.where(kinds.counts[kinds.inverse] < FEW, UNKNOWN - 1, codes)


def _ranked(codes: Integers, evidence: Numbers) -> tuple[Integers, Integers, Integers]:
    """Values numbered by first appearance, their sizes, and their order by evidence."""
    kinds = Kinds.of(codes)
    by_place = np.argsort(kinds.first)
    rank = np.empty(len(by_place), np.int64)
    rank[by_place] = np.arange(len(by_place))
    place, size = rank[kinds.inverse], kinds.counts[by_place]
    total = np.bincount(place, weights=evidence - evidence.mean(), minlength=len(size))
    # A few records' evidence is worth little.
    mean = np.round(total / (size + 3.0), 9)
    return place.astype(np.int64), size.astype(np.int64), np.lexsort((np.arange(len(size)), -mean))


def _unions(name: str, place: Integers, size: Integers, order: Integers) -> Iterator[Candidate]:
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    total = np.cumsum(size[order])
    ends = np.flatnonzero((total >= MINIMUM) & (total <= total[-1] - MINIMUM))
    # Many values: unions of sizes that grow by a factor rather than by a value.
    for end in _spread(ends, total).tolist():
        log_sets = float(gammaln(len(order) + 1) - gammaln(end + 2) - gammaln(len(order) - end))
        yield f"several values of {name}", turn[place] <= end, round(log_sets, 9)


def _spread(ends: Integers, total: Integers) -> Integers:
    if len(ends) <= UNIONS:
        return ends
    wanted = np.geomspace(total[ends[0]], total[ends[-1]], UNIONS)
    return np.unique(ends[np.searchsorted(total[ends], wanted - 1e-6)])


def _by_content(records: AccountSequence, evidence: Numbers) -> Iterator[Candidate]:
    n = len(records)
    kept = spaced(np.arange(n), LEAVES)
    cosine = records.cosine if len(kept) == n else records.cosine[np.ix_(kept, kept)]
    # Half a second to load, and whoever only needs a signal's name does not compute it.
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = 1.0 - squareform(cosine.astype(np.float64), checks=False)
    np.maximum(np.round(distance, 6, out=distance), 0.0, out=distance)
    tree = linkage(distance, "average")
    # The others go with the nearest that was kept.
    leaf = np.arange(n) if len(kept) == n else records.cosine[:, kept].argmax(axis=1)
    yield from _branches(tree, leaf)
    for cut in CUTS:
        if len(kept) >= 2 * cut:
            place, size, order = _ranked(fcluster(tree, cut, "maxclust")[leaf].astype(np.int64), evidence)
            yield from _unions("content", place, size, order)


def _branches(tree: Numbers, leaf: Integers) -> Iterator[Candidate]:
    from scipy.cluster.hierarchy import leaves_list

    m = len(tree) + 1
    turn = np.empty(m, np.int64)
    turn[leaves_list(tree)] = np.arange(m)
    # Lists: a loop over single elements of arrays takes several times as long.
    low, high, height = turn.tolist(), turn.tolist(), [0.0] * m
    above = [math.nan] * (2 * m - 1)
    for left, right, far, _ in tree.tolist():
        one, two = int(left), int(right)
        low.append(min(low[one], low[two]))
        high.append(max(high[one], high[two]))
        height.append(far)
        above[one] = above[two] = far
    first, last, jump = np.array(low), np.array(high), np.round(np.array(above) - np.array(height), 9)
    # Leaves stand for all that go with them.
    count = np.concatenate([[0], np.cumsum(np.bincount(turn[leaf], minlength=m))])
    records = count[last + 1] - count[first]
    usable = np.flatnonzero((records >= MINIMUM) & (last > first) & ~np.isnan(jump))
    mine = turn[leaf]
    for node in usable[np.lexsort((usable, -jump[usable]))[:BRANCHES]].tolist():
        yield "content", (mine >= first[node]) & (mine <= last[node]), 0.0
