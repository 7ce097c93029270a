"""What a p-value was read from: how many benign ones, how many of them scored as high, and where it is extrapolated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

from pipeline.clusters.judge import MARGIN, judgement_fingerprint
from pipeline.clusters.models import shipped_null
from pipeline.detectors import get_detector
from pipeline.detectors.forest import ForestDetector

if TYPE_CHECKING:
    from collections.abc import Mapping

SURE = 0.95


def read_from(alert: Mapping[str, Any]) -> list[str]:
    """Sentences about the benign ones behind an alert's p-value; none where this version has not what it was judged by."""
    if alert["provenance"].get("groups") is not None:
        return _groups(alert) if alert["provenance"]["groups"] == judgement_fingerprint() else []
    forest = get_detector(ForestDetector.name)
    if not isinstance(forest, ForestDetector) or alert["provenance"].get("detector") != forest.fingerprint:
        return []
    fitted = forest.forest.fitted
    benign = fitted["accounts"] - fitted["attackers"]
    said = [
        (
            f"The p-value is read from {benign:,} benign accounts of {fitted['worlds']} simulated worlds, by rank in their world as here; that this "
            "lake's benign accounts are like those is assumed, and a way of use that no such world had is not covered."
        )
    ]
    margin = forest.forest.margin
    if margin > 1:
        said.append(
            f"It is stated {margin:g} times as large as it was read, because lakes differ from each other."
        )
    if alert["p_value"] / margin * benign < 1:
        said.append(
            f"As read it is smaller than 1 in {benign:,}: beyond what was counted, it is extrapolated."
        )
    return said


def _groups(alert: Mapping[str, Any]) -> list[str]:
    null = shipped_null()
    (sure,) = (each["value"] for each in alert["evidence"]["signals"] if each["signal"] == "likeness")
    among = null.part(int(null.part_of(np.array([sure], np.float64))[0]))
    high = int((among >= alert["score"]).sum())
    low, up = interval(high, len(among))
    return [
        (
            f"Of the {len(among):,} benign groups of simulated worlds, with ties as sure, that it is held against, {high} scored as high: with {SURE:.0%} confidence "
            f"between {low:.1%} and {up:.1%} of such groups do. The p-value smooths that count with a fitted tail, and is stated {MARGIN:g} times as large, because they are so few."
        )
    ]


def interval(found: int, among: int) -> tuple[float, float]:
    """The exact interval (Clopper and Pearson 1934) of a share of which ``found`` of ``among`` were counted.

    Examples
    --------
    >>> [round(each, 4) for each in interval(0, 100)]
    [0.0, 0.0362]
    """
    edge = (1 - SURE) / 2
    low = 0.0 if found == 0 else float(betaincinv(found, among - found + 1, edge))
    high = 1.0 if found == among else float(betaincinv(found + 1, among - found, 1 - edge))
    return float(np.round(low, 9)), float(np.round(high, 9))
