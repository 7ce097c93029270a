"""Published detectors and plain rules, implemented here to be measured beside ours, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.evaluate.baselines.cap import Cap
from pipeline.evaluate.baselines.isolation_forest import IsolationForest
from pipeline.evaluate.baselines.mahalanobis import Mahalanobis
from pipeline.evaluate.baselines.mmd import Mmd
from pipeline.evaluate.baselines.prada import Prada
from pipeline.evaluate.baselines.rules import Rules
from pipeline.evaluate.baselines.seat import Seat
from pipeline.evaluate.baselines.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.evaluate.baselines.base import Baseline

BASELINES: dict[str, Callable[[], Baseline]] = {
    "volume": Volume,
    "prada": Prada,
    "seat": Seat,
    "mmd": Mmd,
    "mahalanobis": Mahalanobis,
    "cap": Cap,
    "isolation_forest": IsolationForest,
    "rules": Rules,
}


def get_baseline(name: str) -> Baseline:
    """A baseline by name.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    if name not in BASELINES:
        msg = f"there is no baseline {name!r}; there are {', '.join(BASELINES)}"
        raise UsageError(msg)
    return BASELINES[name]()


__all__ = ["BASELINES", "get_baseline"]
