"""Benign classes: found from the population, named, recalibrated in the lake, and what an account is compared with.

`shipped_classes` are the default, `recalibrate` finds those of a lake, `Classes.assign` says whose like an account is,
`explain` how well that explains it, and `ClassNull` turns scores into p-values among its like.
"""

from __future__ import annotations

# First: detectors use the classes and the classes use what a detector's reference is made of, so that whichever package
# is imported first, the modules of the other find theirs.
import pipeline.detectors  # noqa: F401
from pipeline.classes.calibration import ClassNull, Survival
from pipeline.classes.classes import Classes, describe, shipped_classes, shrunk
from pipeline.classes.explain import Company, explain, unusual_signals
from pipeline.classes.explain_group import explain_group
from pipeline.classes.recalibrate import Recalibrated, benign_weights, recalibrate

__all__ = [
    "ClassNull",
    "Classes",
    "Company",
    "Recalibrated",
    "Survival",
    "benign_weights",
    "describe",
    "explain",
    "explain_group",
    "recalibrate",
    "shipped_classes",
    "shrunk",
    "unusual_signals",
]
