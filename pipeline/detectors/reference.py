"""A reference population: how each signal and the score are distributed in it, with a fingerprint.

What an alert was judged by is one of these; it lands beside the scores, so that the alert can be re-derived.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import LakeError
from pipeline.signals.base import Population
from pipeline.tables import REFERENCE_POPULATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from pipeline.signals import SignalTable

QUANTILES = 401
CLASS_QUANTILES = 101
SCORE = "score"
MMD = "population_mmd2"
# Of a class: how far its accounts lie from its centre; beside it the class's share and its accounts.
CLASS_FIT = "class_fit"


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of one number over the accounts of a population.

    ``quantiles`` float64[m] ascending, evenly spaced from 0 to 1, each a value that occurs; ``accounts`` with a
    value, ``missing`` without.
    """

    quantiles: NDArray[np.float64]
    accounts: int
    missing: int

    @classmethod
    def of(cls, values: NDArray[np.float64], quantiles: int = QUANTILES) -> Distribution:
        """Of values, NaN meaning none."""
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(np.empty(0), 0, len(values))
        grid = np.quantile(known, np.linspace(0, 1, quantiles), method="inverted_cdf")
        return cls(grid, len(known), len(values) - len(known))

    def rank(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mid-ranks in (0, 1): the share below plus half of the share equal; NaN for NaN or without accounts."""
        m = len(self.quantiles)
        if not m:
            return np.full(len(values), np.nan)
        low = np.searchsorted(self.quantiles, values, side="left")
        # Where a value is not among the quantiles, as many lie at or below it as below it: no second search for all.
        at = np.minimum(low, m - 1)
        after = np.searchsorted(self.quantiles, self.quantiles, side="right")
        high = np.where(self.quantiles[at] == values, after[at], low)
        middle = np.clip((low + high) / (2.0 * m), 0.5 / m, 1 - 0.5 / m)
        return np.where(np.isnan(values), np.nan, middle)

    @classmethod
    def weighted(
        cls, values: NDArray[np.float64], weights: NDArray[np.float64], quantiles: int = CLASS_QUANTILES
    ) -> Distribution:
        """Of weighted values, NaN meaning none; weights of zero leave out, none above zero gives no quantiles."""
        there = weights > 0
        known = there & ~np.isnan(values)
        counted, missing = float(weights[known].sum()), float(weights[there & ~known].sum())
        if not known.any():
            return cls(np.empty(0), 0, round(missing))
        order = np.argsort(values[known], kind="stable")
        ordered, mass = values[known][order], np.cumsum(weights[known][order])
        # Sums of the same weights in another order differ in their last digits.
        wanted = np.linspace(0, 1, quantiles) * mass[-1] * (1 - 1e-9)
        grid = ordered[np.minimum(np.searchsorted(mass, wanted, side="left"), len(ordered) - 1)]
        return cls(grid, round(counted), round(missing))

    @property
    def median(self) -> float | None:
        """Half lie below."""
        return float(self.quantiles[len(self.quantiles) // 2]) if len(self.quantiles) else None

    @property
    def mad(self) -> float | None:
        """Median absolute deviation from the median."""
        if not len(self.quantiles):
            return None
        return float(np.median(np.abs(self.quantiles - self.quantiles[len(self.quantiles) // 2])))


@dataclass(frozen=True, slots=True)
class ClassReference:
    """One benign class of a population (`pipeline.classes`).

    Parameters
    ----------
    share
        Of the population.
    members
        Accounts of the population behind it, each counted by its membership; 0 in one that is shipped as it is.
    geometry
        Centre and scale of each signal that classes are told apart by, in normal scores of ranks.
    fit
        Distribution of the members' distance from the centre.
    signals
        Distribution of each signal over the members.
    """

    share: float
    members: float
    geometry: Mapping[str, tuple[float, float]]
    fit: Distribution
    signals: Mapping[str, Distribution]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "share": self.share,
            "members": self.members,
            "geometry": {name: list(pair) for name, pair in sorted(self.geometry.items())},
            "fit": _distribution_json(self.fit),
            "signals": {name: _distribution_json(each) for name, each in sorted(self.signals.items())},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClassReference:
        """What `to_json` gave."""
        return cls(
            value["share"],
            value["members"],
            {name: (pair[0], pair[1]) for name, pair in value["geometry"].items()},
            _distribution(value["fit"]),
            {name: _distribution(each) for name, each in value["signals"].items()},
        )


def _distribution_json(each: Distribution) -> dict[str, Any]:
    return {"quantiles": each.quantiles.tolist(), "accounts": each.accounts, "missing": each.missing}


def _distribution(value: Mapping[str, Any]) -> Distribution:
    return Distribution(np.array(value["quantiles"], np.float64), value["accounts"], value["missing"])


@dataclass(frozen=True, slots=True)
class Reference:
    """A population that accounts are judged by.

    Parameters
    ----------
    name
        ``shipped``, ``shipped-<look>`` or ``lake``.
    signals
        Distribution of each signal.
    score
        Distribution of the score over the population (None until it is scored).
    population
        The records of all its accounts together, for `population_mmd2`.
    classes
        Its benign classes by name, where they were found.
    """

    name: str
    signals: Mapping[str, Distribution]
    score: Distribution | None = None
    population: Population = field(default_factory=Population.empty)
    classes: Mapping[str, ClassReference] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, table: SignalTable, population: Population) -> Reference:
        """Of the accounts of a signal table."""
        return cls(
            name, {key: Distribution.of(values) for key, values in table.columns.items()}, None, population
        )

    def with_scores(self, scores: NDArray[np.float64]) -> Reference:
        """The same with the distribution of its own scores."""
        return replace(self, score=Distribution.of(scores))

    def with_classes(self, classes: Mapping[str, ClassReference]) -> Reference:
        """The same with benign classes."""
        return replace(self, classes=classes)

    @property
    def accounts(self) -> int:
        """Accounts behind it."""
        return max((each.accounts + each.missing for each in self.signals.values()), default=0)

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-128 over everything in it, in hex."""
        return hashlib.blake2b(
            json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=16
        ).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; floats as Python writes them, so they come back bit for bit."""
        every = {**self.signals, **({SCORE: self.score} if self.score else {})}
        value = {
            "name": self.name,
            "population": [self.population.records, *self.population.kernel_mean],
            "distributions": {name: _distribution_json(each) for name, each in sorted(every.items())},
        }
        # A reference without classes keeps the fingerprint that it always had.
        if self.classes:
            value["classes"] = {name: each.to_json() for name, each in sorted(self.classes.items())}
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reference:
        """What `to_json` gave."""
        found = {name: _distribution(each) for name, each in value["distributions"].items()}
        score = found.pop(SCORE, None)
        records, *kernel_mean = value["population"]
        classes = {name: ClassReference.from_json(each) for name, each in value.get("classes", {}).items()}
        return cls(value["name"], found, score, Population(records, tuple(kernel_mean)), classes)

    def to_table(self, as_of: datetime | None) -> pa.Table:
        """Rows of `reference_populations`."""
        common = {"reference": self.fingerprint, "name": self.name, "as_of": as_of}
        every = {**self.signals, **({SCORE: self.score} if self.score else {})}
        whole = [self.population.records, *self.population.kernel_mean]
        rows = [
            {**common, **_row(None, name, each, whole if name == MMD else None)}
            for name, each in every.items()
        ]
        for name, kind in self.classes.items():
            rows.append({**common, **_row(name, CLASS_FIT, kind.fit, [kind.share, kind.members])})
            for signal, each in kind.signals.items():
                pair = kind.geometry.get(signal)
                rows.append({**common, **_row(name, signal, each, list(pair) if pair else None)})
        return pa.Table.from_pylist(rows, schema=REFERENCE_POPULATIONS)

    @classmethod
    def from_table(cls, table: pa.Table, fingerprint: str) -> Reference:
        """The reference with this fingerprint.

        Raises
        ------
        LakeError
            The table does not hold it, or holds something else under its name.
        """
        found: dict[str, Distribution] = {}
        classes: dict[str, dict[str, tuple[Distribution, list[float] | None]]] = {}
        name, population = "", Population.empty()
        for row in table.filter(pc.equal(table["reference"], fingerprint)).to_pylist():
            name = row["name"]
            each = Distribution(np.array(row["quantiles"], np.float64), row["accounts"], row["missing"])
            if row["benign_class"] is not None:
                classes.setdefault(row["benign_class"], {})[row["signal"]] = (each, row["vector"])
                continue
            found[row["signal"]] = each
            if row["vector"] is not None:
                records, *kernel_mean = (int(value) for value in row["vector"])
                population = Population(records, tuple(kernel_mean))
        if not found:
            msg = f"reference {fingerprint} is not in reference_populations; score again, or restore the table's file"
            raise LakeError(msg)
        score = found.pop(SCORE, None)
        kinds = {each: _class_reference(each, rows) for each, rows in classes.items()}
        reference = cls(name, found, score, population, kinds)
        if reference.fingerprint != fingerprint:
            msg = f"reference {fingerprint} in reference_populations now has the fingerprint {reference.fingerprint}: its rows were changed"
            raise LakeError(msg)
        return reference


def _row(benign_class: str | None, name: str, each: Distribution, vector: list[Any] | None) -> dict[str, Any]:
    return {
        "benign_class": benign_class,
        "signal": name,
        "accounts": each.accounts,
        "missing": each.missing,
        "median": each.median,
        "mad": each.mad,
        "quantiles": each.quantiles.tolist(),
        "vector": vector,
    }


def _class_reference(name: str, rows: dict[str, tuple[Distribution, list[float] | None]]) -> ClassReference:
    if CLASS_FIT not in rows or (pair := rows[CLASS_FIT][1]) is None:
        msg = f"class {name!r} has no row {CLASS_FIT!r} in reference_populations: its rows were changed"
        raise LakeError(msg)
    geometry = {
        signal: (vector[0], vector[1])
        for signal, (_, vector) in rows.items()
        if vector is not None and signal != CLASS_FIT
    }
    signals = {signal: each for signal, (each, _) in rows.items() if signal != CLASS_FIT}
    return ClassReference(pair[0], pair[1], geometry, rows[CLASS_FIT][0], signals)
