"""Whose like each account of a lake is: benign classes found in it, memberships, and the best benign explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.classes import (
    Classes,
    Company,
    explain,
    explain_group,
    recalibrate,
    shipped_classes,
    unusual_signals,
)
from pipeline.classes.recalibrate import benign_weights
from pipeline.detectors.base import scorable
from pipeline.lake_details import hash_sample
from pipeline.signals.table import SignalTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.clusters.find import Cluster
    from pipeline.detectors.base import Judgement
    from pipeline.detectors.reference import Reference

FOUND_AMONG = 5000
"""Accounts of a large lake that its benign classes are found among: more would not move them, and cost in proportion."""

DRIVERS = 12
"""Signals with the largest contributions, which a benign explanation names."""

HIGHEST, HIGHEST_SHARE = 20, 0.05
"""Accounts that an accused one is compared with: those with the smallest p-values that are not in the list, so many, or this share."""

DEEP = 0.5
"""Only accounts with at least this share of the signals that the best known one has: in a large lake most have few."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of n accounts.

    ``values`` and ``ranks`` are their signals and mid-ranks in the reference; ``memberships`` float64[n, classes];
    ``shipped``: the classes are not the lake's own.
    """

    classes: Classes
    values: SignalTable
    ranks: SignalTable
    memberships: NDArray[np.float64]
    shipped: bool = False

    @property
    def best(self) -> list[str]:
        """The class that fits best, of each account."""
        return self.classes.best(self.memberships)

    def explanation(
        self, judgement: Judgement, row: int, company: NextInLine | None = None
    ) -> dict[str, Any]:
        """The best benign explanation of one account, held against all its signals, and the ones that drove its score."""
        parts = {name: float(values[row]) for name, values in judgement.contributions.items()}
        drivers = sorted(parts, key=lambda name: (-parts[name], name))[:DRIVERS]
        return explain(
            self.values,
            self.ranks,
            self.memberships,
            self.classes,
            row,
            drivers,
            None if company is None else company.but(row),
            shipped=self.shipped,
        )

    def group_explanation(self, cluster: Cluster) -> dict[str, Any]:
        """The best benign explanation of a cluster, and whose like its members are alone; thin ones are nobody's."""
        row = {str(name): place for place, name in enumerate(self.values.account_id)}
        best, enough = self.best, scorable(self.values)
        places = [row.get(name) for name in cluster.members]
        classes = [best[place] if place is not None and enough[place] else None for place in places]
        return explain_group(cluster.numbers, classes, shipped=self.shipped)

    def next_in_line(self, judgement: Judgement, listed: NDArray[np.bool_]) -> NextInLine:
        """The accounts that come nearest to being in the list, and how they stand in their classes.

        Parameters
        ----------
        listed
            bool[n]: the accounts that are in the list, and so are no company.
        """
        known = np.sum([~np.isnan(column) for column in self.values.columns.values()], axis=0)
        judged = ~np.isnan(judgement.p_value)
        free = judged & ~listed & (known >= DEEP * known[judged].max(initial=0))
        most = max(HIGHEST, int(np.ceil(HIGHEST_SHARE * free.sum())))
        rows = np.array(
            sorted(
                np.flatnonzero(free).tolist(),
                key=lambda row: (judgement.p_value[row], str(self.values.account_id[row])),
            )[:most],
            np.int64,
        )
        shares, fits = np.zeros(len(rows)), np.zeros(len(rows))
        best = self.memberships[rows].argmax(axis=1)
        for k in np.unique(best).tolist():
            mine = np.flatnonzero(best == k)
            odd, of = unusual_signals(self.values.take(rows[mine]), self.classes.each[k])
            shares[mine] = odd / np.maximum(of, 1)
            fits[mine] = self.classes.fit(self.ranks.take(rows[mine]))[:, k]
        return NextInLine(rows, shares, fits)


@dataclass(frozen=True, slots=True)
class NextInLine:
    """Accounts to compare with: ``rows`` int64[n], and of each ``shares`` and ``fits`` as `Company` has them."""

    rows: NDArray[np.int64]
    shares: NDArray[np.float64]
    fits: NDArray[np.float64]

    def but(self, row: int) -> Company:
        """Them without one account."""
        others = self.rows != row
        return Company(self.shares[others], self.fits[others], "of this lake that come nearest to the list")


def ranks_of(table: SignalTable, reference: Reference) -> SignalTable:
    """Mid-ranks of every signal in a reference, NaN without a value."""
    columns = {
        name: reference.signals[name].rank(values)
        for name, values in table.columns.items()
        if name in reference.signals
    }
    return SignalTable(table.account_id, table.records, columns)


def find_classes(table: SignalTable, reference: Reference, judgement: Judgement) -> Classes:
    """Benign classes of a lake; accounts count by how likely a first judgement leaves it that they are benign.

    In a lake of more than `FOUND_AMONG` scorable accounts, of that many that a hash of their ids chooses.
    """
    shipped, p_value = shipped_classes(), judgement.p_value
    counted = scorable(table)
    if int(counted.sum()) > FOUND_AMONG:
        chosen = hash_sample(table.account_id, counted, FOUND_AMONG)
        table = table.take(chosen)
        p_value = p_value[chosen]
    ranks = ranks_of(table, reference)
    benign = benign_weights(p_value, shipped.assign(ranks))
    return recalibrate(shipped, table, ranks, benign=benign).classes


def likeness(table: SignalTable, reference: Reference) -> Likeness:
    """Memberships in the reference's classes; in the shipped ones where it has none (a lake too small for its own)."""
    classes = Classes(reference.classes, {}) if reference.classes else shipped_classes()
    ranks = ranks_of(table, reference)
    return Likeness(classes, table, ranks, classes.assign(ranks), shipped=not reference.classes)


def class_column(found: Likeness | None, judgement: Judgement) -> Sequence[str | None]:
    """The best class of each account that could be judged."""
    if found is None:
        return [None] * len(judgement)
    known = ~np.isnan(judgement.p_value)
    return [name if there else None for name, there in zip(found.best, known.tolist(), strict=True)]
