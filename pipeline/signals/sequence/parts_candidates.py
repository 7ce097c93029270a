"""Candidate parts of an account: sets of records that might be one use beside others.

By one value of a property and by two properties together; by the values of a property in order of their evidence,
the first, the first two, ... (the best union of values is one of these: Neill, JRSS B 74, 2012); by content, the
branches of an average-linkage tree of the records' cosines; and by content again, unions of branches in order of
evidence. The last two need no metadata. Stretches of time were tried: none was ever the harvest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    evidence = evidence - evidence.mean()
    values = {name: kinds for name in PROPERTIES if len((kinds := records.kinds(name)).names) > 1}
    if "template" in values:
        yield from _template_kinds(values["template"])
    for name, kinds in values.items():
        yield from _by_value(name, kinds, evidence)
    for fields in TOGETHER:
        there = [name for name in fields if name in values]
        if len(there) > 1:
            yield from _by_value(" and ".join(there), _joint([values[name] for name in there]), evidence)
    yield from _by_content(records, evidence)


def _template_kinds(kinds: Kinds) -> Iterator[Candidate]:
    known = kinds.names != UNKNOWN
    yield "templates used once", ((kinds.counts == 1) & known)[kinds.inverse], 0.0
    yield "templates used again", ((kinds.counts > 1) & known)[kinds.inverse], 0.0


def _joint(columns: list[Kinds]) -> Kinds:
    out = columns[0]
    for kinds in columns[1:]:
        out = Kinds.of(out.inverse * len(kinds.names) + kinds.inverse)
    return out


def _by_value(name: str, kinds: Kinds, evidence: Numbers) -> Iterator[Candidate]:
    """Frequent values, an unknown one too, then unions of values in order of evidence."""
    place, size, order = _ranked(_without_rare(kinds), evidence)
    if len(size) < 2:
        return
    for value in np.flatnonzero(size >= MINIMUM).tolist():
        yield name, place == value, 0.0
    yield from _unions(name, place, size, order)


def _without_rare(kinds: Kinds) -> Kinds:
    """The rare values as one; ``names`` mean nothing then."""
    rare = kinds.counts < FEW
    if not rare.any():
        return kinds
    number = np.where(rare, 0, np.cumsum(~rare))
    first = np.append(kinds.first[rare].min(), kinds.first[~rare])
    counts = np.append(kinds.counts[rare].sum(), kinds.counts[~rare])
    return Kinds(np.arange(len(counts)), first, number[kinds.inverse], counts)


def _ranked(kinds: Kinds, evidence: Numbers) -> tuple[Integers, Integers, Integers]:
    """Values numbered by first appearance, their sizes, and their order by evidence, whose mean is 0."""
    by_place = np.argsort(kinds.first)
    rank = np.empty(len(by_place), np.int64)
    rank[by_place] = np.arange(len(by_place))
    place, size = rank[kinds.inverse], kinds.counts[by_place]
    total = np.bincount(place, weights=evidence, minlength=len(size))
    # A few records' evidence is worth little.
    mean = np.round(total / (size + 3.0), 9)
    return place, size, np.lexsort((np.arange(len(size)), -mean))


def _unions(name: str, place: Integers, size: Integers, order: Integers) -> Iterator[Candidate]:
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    total = np.cumsum(size[order])
    ends = np.flatnonzero((total >= MINIMUM) & (total <= total[-1] - MINIMUM))
    # Many values: unions of sizes that grow by a factor rather than by a value.
    ends, mine, values = _spread(ends, total), turn[place], len(order)
    log_sets = np.round(gammaln(values + 1) - gammaln(ends + 2) - gammaln(values - ends), 9)
    for end, sets in zip(ends.tolist(), log_sets.tolist(), strict=True):
        yield f"several values of {name}", mine <= end, sets


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
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distance = 1.0 - squareform(cosine.astype(np.float64), checks=False)
    np.maximum(np.round(distance, 6, out=distance), 0.0, out=distance)
    tree = ContentTree.of(linkage(distance, "average"))
    # The others go with the nearest that was kept.
    leaf = np.arange(n) if len(kept) == n else records.cosine[:, kept].argmax(axis=1)
    mine = tree.first[leaf]
    yield from _branches(tree, mine)
    for cut in CUTS:
        if len(kept) >= 2 * cut:
            yield from _unions("content", *_ranked(Kinds.of(tree.cut(cut)[mine]), evidence))


@dataclass(frozen=True, slots=True)
class ContentTree:
    """A tree of m records, its nodes numbered as scipy's `linkage` does: leaves, then joins by height.

    ``first`` and ``last`` int64[2 m - 1]: the leaves in a row so that each node has those from first to last; ``height``
    float64[2 m - 1] at which its two were joined, ``above`` that of its parent (infinite for the root).
    """

    first: Integers
    last: Integers
    height: Numbers
    above: Numbers

    @classmethod
    def of(cls, tree: Numbers) -> ContentTree:
        """From what `linkage` gives."""
        m = len(tree) + 1
        # Lists: a loop over single elements of arrays takes several times as long.
        size, height = [1] * m, [0.0] * m
        above = [math.inf] * (2 * m - 1)
        joins = []
        for left, right, far, count in tree.tolist():
            one, two = int(left), int(right)
            joins.append((one, two))
            size.append(int(count))
            height.append(far)
            above[one] = above[two] = far
        first = [0] * (2 * m - 1)
        for node in range(2 * m - 2, m - 1, -1):
            one, two = joins[node - m]
            first[one] = first[node]
            first[two] = first[node] + size[one]
        begin = np.array(first)
        return cls(begin, begin + np.array(size) - 1, np.array(height), np.array(above))

    def cut(self, most: int) -> Integers:
        """Number of the branch that each place in the row has, in the lowest cut that leaves at most so many branches.

        What was joined at equal heights stays together, as with scipy's ``fcluster(tree, most, "maxclust")``.
        """
        joined = self.height[len(self.height) // 2 + 1 :]
        level = joined[len(joined) - most]
        branch = np.flatnonzero((self.height <= level) & (self.above > level))
        branch = branch[np.argsort(self.first[branch])]
        return np.repeat(np.arange(len(branch)), self.last[branch] - self.first[branch] + 1)


def _branches(tree: ContentTree, mine: Integers) -> Iterator[Candidate]:
    """Branches that are most different from their parents; ``mine`` int64[n], each record's place in the row."""
    jump = np.round(tree.above - tree.height, 9)
    # Leaves stand for all that go with them.
    count = np.concatenate([[0], np.cumsum(np.bincount(mine, minlength=len(tree.first) // 2 + 1))])
    records = count[tree.last + 1] - count[tree.first]
    usable = np.flatnonzero((records >= MINIMUM) & (tree.last > tree.first) & np.isfinite(jump))
    for node in usable[np.lexsort((usable, -jump[usable]))[:BRANCHES]].tolist():
        yield "content", (mine >= tree.first[node]) & (mine <= tree.last[node]), 0.0
