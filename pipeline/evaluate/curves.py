"""What is drawn: curves over thresholds, places in the queue and records seen, as plain numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluate.figures import benign_tail, queue_recall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.evaluate.product import Judged, Outcome

RATES = tuple(float(f"{rate:.4g}") for rate in np.geomspace(0.0005, 1.0, 34))
PLACES = tuple(float(f"{share:.4g}") for share in np.geomspace(0.002, 1.0, 28))
QUARTILES = (0.25, 0.5, 0.75)


def curves(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Of one detector.

    ``roc``: share of the attackers found, pooled over worlds, where so many of a world's benign accounts are accused;
    ``queue``: share of the attackers among the first accounts, mean over worlds with any; ``score_by_records``: for every
    benign class and for attackers, quartiles of the score by the first n records.
    """
    tails: list[float] = []
    for world, outcome in zip(worlds, outcomes, strict=True):
        rows = world.enough
        if (rows & ~world.attack).any():
            attack = world.attack[rows]
            tails += benign_tail(outcome.score[rows], attack)[attack].tolist()
    found = np.array(tails)
    recall = [
        [queue_recall(o.score, w.attack, share) for o, w in zip(outcomes, worlds, strict=True)]
        for share in PLACES
    ]
    return {
        "roc": {
            "accused": list(RATES),
            "found": [float((found <= rate).mean()) if len(found) else None for rate in RATES],
        },
        "queue": {"share": list(PLACES), "recall": [_mean(each) for each in recall]},
        "score_by_records": _by_records(worlds, outcomes),
    }


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else None


def _by_records(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[int, list[NDArray[np.float64]]]] = {}
    for world, outcome in zip(worlds, outcomes, strict=True):
        kinds = np.array([_group(each.kind, each.attack) for each in world.truth], object)
        for look, score in outcome.looks.items():
            for kind in set(kinds):
                mine = score[(kinds == kind) & ~np.isnan(score)]
                scores.setdefault(kind, {}).setdefault(look, []).append(mine)
    out: dict[str, dict[str, Any]] = {}
    for kind in sorted(scores):
        for look in sorted(scores[kind]):
            values = np.concatenate(scores[kind][look])
            if len(values):
                low, middle, high = (float(v) for v in np.quantile(values, QUARTILES))
                out.setdefault(kind, {})[str(look)] = {
                    "accounts": len(values),
                    "lower_quartile": low,
                    "median": middle,
                    "upper_quartile": high,
                }
    return out


def _group(kind: str, attack: bool) -> str:
    return "attackers" if attack else kind
