"""Lakes whose classes are known: three forms of use in five signals, and one that no class is told apart by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.classes import Classes, describe
from pipeline.classes.mixture import find
from pipeline.classes.names import name_classes
from pipeline.classes.space import normal_scores
from pipeline.detectors.reference import Distribution
from pipeline.signals import SignalTable

SIGNALS = ("hour_entropy", "prompt_growth", "recency_similarity", "repeat_share", "topic_return")
CENTRES = np.array([[1.5, 1.5, -1.5, -1.5, 0.0], [-1.5, 0.0, 1.5, 0.0, 1.5], [0.0, -1.5, 0.0, 1.5, -1.5]])
SHARES = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class Lake:
    values: SignalTable
    ranks: SignalTable
    truth: np.ndarray


def table(columns: dict[str, np.ndarray], records: int = 500, prefix: str = "a") -> SignalTable:
    n = len(next(iter(columns.values())))
    names = np.array([f"{prefix}{i:05d}" for i in range(n)], object)
    return SignalTable(names, np.full(n, records), columns)


def ranked(values: SignalTable, by: SignalTable | None = None) -> SignalTable:
    by = by or values
    columns = {
        name: Distribution.of(by.columns[name]).rank(column) for name, column in values.columns.items()
    }
    return SignalTable(values.account_id, values.records, columns)


def lake(n: int = 1500, seed: int = 1, extra: np.ndarray | None = None, missing: float = 0.05) -> Lake:
    """``extra`` float64[m, 5]: accounts of no class, after the others; their truth is -1."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=SHARES)
    x = CENTRES[truth] + 0.6 * rng.normal(size=(n, 5))
    x[rng.random(x.shape) < missing] = np.nan
    if extra is not None:
        x, truth = np.concatenate([x, extra]), np.concatenate([truth, np.full(len(extra), -1)])
    columns = {name: x[:, j] for j, name in enumerate(SIGNALS)}
    columns["output_tokens"] = 100 * (truth + 2) + 20 * rng.normal(size=len(x))
    values = table(columns)
    return Lake(values, ranked(values), truth)


def shipped(seed: int = 5) -> Classes:
    made = lake(2000, seed)
    rows = normal_scores(made.ranks.columns, SIGNALS, len(made.ranks))
    mixture = find(rows, 3, 1, starts=2, steps=30)
    names = name_classes(mixture.centre, SIGNALS)
    found = describe(
        made.values, mixture.distances(rows), mixture.memberships(rows), mixture, names, SIGNALS, {}
    )
    return Classes(found, {})
