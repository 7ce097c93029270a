"""A reference population: how each signal and the score are distributed in it, with a fingerprint.

What an alert was judged by is one of these; it lands beside the scores, so that the alert can be re-derived.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.errors import LakeError
from pipeline.signals.base import Population
from pipeline.tables import REFERENCE_POPULATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from pipeline.signals import SignalTable

QUANTILES = 401
SCORE = "score"
MMD = "population_mmd2"


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
        high = np.searchsorted(self.quantiles, values, side="right")
        middle = np.clip((low + high) / (2.0 * m), 0.5 / m, 1 - 0.5 / m)
        return np.where(np.isnan(values), np.nan, middle)

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
    """

    name: str
    signals: Mapping[str, Distribution]
    score: Distribution | None = None
    population: Population = field(default_factory=Population.empty)

    @classmethod
    def of(cls, name: str, table: SignalTable, population: Population) -> Reference:
        """Of the accounts of a signal table."""
        return cls(
            name, {key: Distribution.of(values) for key, values in table.columns.items()}, None, population
        )

    def with_scores(self, scores: NDArray[np.float64]) -> Reference:
        """The same with the distribution of its own scores."""
        return Reference(self.name, self.signals, Distribution.of(scores), self.population)

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
        return {
            "name": self.name,
            "population": [self.population.records, *self.population.kernel_mean],
            "distributions": {
                name: {
                    "quantiles": each.quantiles.tolist(),
                    "accounts": each.accounts,
                    "missing": each.missing,
                }
                for name, each in sorted(every.items())
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reference:
        """What `to_json` gave."""
        found = {
            name: Distribution(np.array(each["quantiles"], np.float64), each["accounts"], each["missing"])
            for name, each in value["distributions"].items()
        }
        score = found.pop(SCORE, None)
        records, *kernel_mean = value["population"]
        return cls(value["name"], found, score, Population(records, tuple(kernel_mean)))

    def to_table(self, as_of: datetime | None) -> pa.Table:
        """Rows of `reference_populations`."""
        fingerprint = self.fingerprint
        every = {**self.signals, **({SCORE: self.score} if self.score else {})}
        rows = [
            {
                "reference": fingerprint,
                "name": self.name,
                "as_of": as_of,
                "benign_class": None,
                "signal": name,
                "accounts": each.accounts,
                "missing": each.missing,
                "median": each.median,
                "mad": each.mad,
                "quantiles": each.quantiles.tolist(),
                "vector": [self.population.records, *self.population.kernel_mean] if name == MMD else None,
            }
            for name, each in every.items()
        ]
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
        name, population = "", Population.empty()
        for row in table.to_pylist():
            if row["reference"] != fingerprint:
                continue
            name = row["name"]
            found[row["signal"]] = Distribution(
                np.array(row["quantiles"], np.float64), row["accounts"], row["missing"]
            )
            if row["vector"] is not None:
                records, *kernel_mean = (int(value) for value in row["vector"])
                population = Population(records, tuple(kernel_mean))
        if not found:
            msg = f"reference {fingerprint} is not in reference_populations; score again, or restore the table's file"
            raise LakeError(msg)
        score = found.pop(SCORE, None)
        reference = cls(name, found, score, population)
        if reference.fingerprint != fingerprint:
            msg = f"reference {fingerprint} in reference_populations now has the fingerprint {reference.fingerprint}: its rows were changed"
            raise LakeError(msg)
        return reference
