"""An additive model on named numbers: one piecewise linear curve for each, and a constant where a number is missing.

Every score is the sum of its curves' values, so a decision says by itself what it rests on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """``values[k]`` at ``knots[k]``, straight between, flat outside; ``missing`` where there is no number."""

    knots: tuple[float, ...]
    values: tuple[float, ...]
    missing: float

    def at(self, numbers: Numbers) -> Numbers:
        """float64[n]."""
        known = ~np.isnan(numbers)
        out: Numbers = np.where(
            known, np.interp(np.where(known, numbers, 0.0), self.knots, self.values), self.missing
        )
        return out


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves by name, and the score where all are zero (``intercept``)."""

    intercept: float
    curves: Mapping[str, Curve]

    def parts(self, numbers: Mapping[str, Numbers]) -> dict[str, Numbers]:
        """What each number adds to the score, float64[n] each."""
        return {name: curve.at(numbers[name]) for name, curve in self.curves.items()}

    def score(self, numbers: Mapping[str, Numbers]) -> Numbers:
        """Log odds, float64[n], nine decimals."""
        total: Numbers = np.zeros(len(next(iter(numbers.values()))))
        for part in self.parts(numbers).values():
            total = total + part
        return np.round(total + self.intercept, 9)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "intercept": self.intercept,
            "curves": {
                name: {"knots": list(curve.knots), "values": list(curve.values), "missing": curve.missing}
                for name, curve in self.curves.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Curves:
        """What `to_json` gave."""
        return cls(
            float(value["intercept"]),
            {
                name: Curve(tuple(each["knots"]), tuple(each["values"]), float(each["missing"]))
                for name, each in value["curves"].items()
            },
        )


def fingerprint(value: Mapping[str, Any]) -> str:
    """BLAKE2b-128 of plain figures, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
