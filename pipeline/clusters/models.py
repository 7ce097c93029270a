"""The figures that ship with clusters: how pairs and groups are weighed, and the groups they were calibrated on."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from pipeline.clusters.curves import Curves

FILE = "clusters.json"


@cache
def shipped() -> dict[str, Any]:
    """What ``python -m pipeline.fit.clusters`` wrote."""
    value: dict[str, Any] = json.loads((files("pipeline.data") / FILE).read_text())
    return value


@cache
def shipped_pairs() -> Curves:
    """Log odds that two accounts have one operator."""
    return Curves.from_json(shipped()["pairs"])


@cache
def shipped_groups() -> Curves:
    """Log odds that a group attacks."""
    return Curves.from_json(shipped()["groups"])


@cache
def shipped_null() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores of benign groups that the same procedure found in other worlds, ascending, float64[m]."""
    return np.sort(np.array(shipped()["null"], np.float64))
