"""Whose like each account of a lake is: benign classes found in it, memberships, and the best benign explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.classes import Classes, explain, recalibrate, shipped_classes
from pipeline.classes.recalibrate import benign_weights
from pipeline.detectors.base import scorable
from pipeline.lake_details import hash_sample
from pipeline.signals.table import SignalTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.detectors.base import Judgement
    from pipeline.detectors.reference import Reference

FOUND_AMONG = 5000
"""Accounts of a large lake that its benign classes are found among: more would not move them, and cost in proportion."""

DRIVERS = 12
"""Signals with the largest contributions that a benign explanation has to explain."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of n accounts.

    ``values`` and ``ranks`` are their signals and mid-ranks in the reference; ``memberships`` float64[n, classes].
    """

    classes: Classes
    values: SignalTable
    ranks: SignalTable
    memberships: NDArray[np.float64]

    @property
    def best(self) -> list[str]:
        """The class that fits best, of each account."""
        return self.classes.best(self.memberships)

    def explanation(self, judgement: Judgement, row: int) -> dict[str, Any]:
        """The best benign explanation of one account, held against the signals that drove its score."""
        parts = {name: float(values[row]) for name, values in judgement.contributions.items()}
        drivers = sorted(parts, key=lambda name: (-parts[name], name))[:DRIVERS]
        return explain(self.values, self.ranks, self.memberships, self.classes, row, drivers)


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
        columns = {name: values[chosen] for name, values in table.columns.items()}
        table = SignalTable(table.account_id[chosen], table.records[chosen], columns)
        p_value = p_value[chosen]
    ranks = ranks_of(table, reference)
    benign = benign_weights(p_value, shipped.assign(ranks))
    return recalibrate(shipped, table, ranks, benign=benign).classes


def likeness(table: SignalTable, reference: Reference) -> Likeness:
    """Memberships in the reference's classes; in the shipped ones where it has none (a lake too small for its own)."""
    classes = Classes(reference.classes, {}) if reference.classes else shipped_classes()
    ranks = ranks_of(table, reference)
    return Likeness(classes, table, ranks, classes.assign(ranks))


def class_column(found: Likeness | None, judgement: Judgement) -> Sequence[str | None]:
    """The best class of each account that could be judged."""
    if found is None:
        return [None] * len(judgement)
    known = ~np.isnan(judgement.p_value)
    return [name if there else None for name, there in zip(found.best, known.tolist(), strict=True)]
