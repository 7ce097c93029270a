"""Detectors: signals of accounts in, judgements out. `DETECTORS` names those that scoring may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.detectors.forest import ForestDetector
from pipeline.detectors.robust import RobustDetector
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.detectors.base import Detector

DETECTORS: dict[str, Callable[[], Detector]] = {"forest": ForestDetector, "robust": RobustDetector}


def get_detector(name: str = "robust") -> Detector:
    """A detector by name.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    if name not in DETECTORS:
        msg = f"there is no detector {name!r}; there are {', '.join(sorted(DETECTORS))}"
        raise UsageError(msg)
    return DETECTORS[name]()


__all__ = ["DETECTORS", "ForestDetector", "RobustDetector", "get_detector"]
