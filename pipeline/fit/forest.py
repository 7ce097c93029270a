"""Fit the forest to simulated worlds: ``python -m pipeline.fit.forest --data ../shared/data --worlds 64 --cache DIR``.

Gradient boosting of shallow trees (Friedman, Annals of Statistics 29, 2001) on mid-ranks within each world. Worlds, not
accounts, are what is drawn: habits, roles of the sources, shares of the kinds, sizes and base rates are new in each.
Scores of benign accounts by trees fitted without their world (folds over worlds) are the null that p-values rest on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detectors.forest.model import Forest
from pipeline.detectors.forest.trees import LEAF, Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.fit.labelled import LabelledWorld

FOLDS = 4
BOOSTING: dict[str, Any] = {
    "n_estimators": 400,
    "max_depth": 5,
    "learning_rate": 0.06,
    "subsample": 0.5,
    "max_features": 0.15,
    "min_samples_leaf": 20,
}
ATTACK_WEIGHT = 0.5
"""All attackers of a world together weigh so many times its benign accounts."""


def design(
    found: Sequence[LabelledWorld], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Ranks float64[n, names] (neutral without a value), attack bool[n], and weights float64[n].

    In each world rare benign kinds weigh as the square root of their rarity: a class of thirty accounts must not be
    accused as a whole because there are only thirty.
    """
    blocks, attack, weight = [], [], []
    for world in found:
        ranks = world.ranks(names)
        blocks.append(np.stack([np.nan_to_num(ranks[name], nan=0.5) for name in names], axis=1))
        attack.append(world.attack)
        weight.append(weights(world))
    return np.concatenate(blocks), np.concatenate(attack), np.concatenate(weight)


def weights(world: LabelledWorld) -> NDArray[np.float64]:
    """Weight of each account."""
    out = np.ones(len(world))
    benign = ~world.attack
    kinds = sorted(set(world.kind[benign]))
    for kind in kinds:
        mine = (world.kind == kind) & benign
        out[mine] = np.sqrt(benign.sum() / len(kinds) / mine.sum())
    if world.attack.any():
        out[world.attack] = ATTACK_WEIGHT * out[benign].sum() / world.attack.sum()
    return out


def boost(
    ranks: NDArray[np.float64],
    attack: NDArray[np.bool_],
    weight: NDArray[np.float64],
    seed: int,
    **changes: Any,
) -> Trees:
    """Boosted trees as arrays; their sum is the log-odds."""
    from sklearn.ensemble import GradientBoostingClassifier

    settings = {**BOOSTING, **changes}
    fitted = GradientBoostingClassifier(**settings, random_state=seed)
    fitted.fit(ranks.astype(np.float32), attack, sample_weight=weight)
    rate = settings["learning_rate"]
    prior = float(np.average(attack, weights=weight))
    constant = Trees(
        np.zeros(1, np.int32),
        np.full(1, LEAF, np.int16),
        np.zeros(1, np.float32),
        np.full(1, LEAF, np.int32),
        np.full(1, LEAF, np.int32),
        np.array([np.log(prior / (1 - prior))]),
    )
    return Trees.joined([constant, *(_tree(each.tree_, rate) for each in fitted.estimators_[:, 0])])


def _tree(tree: Any, rate: float) -> Trees:
    """A fitted tree with means of leaves at its inner nodes."""
    left = np.asarray(tree.children_left, np.int32)
    right = np.asarray(tree.children_right, np.int32)
    leaf = left == -1
    value = np.asarray(tree.value[:, 0, 0], np.float64) * rate
    size = np.asarray(tree.weighted_n_node_samples, np.float64)
    # Boosting changes leaves after the tree was grown: inner nodes follow from below. Children come after parents.
    for node in range(len(left) - 1, -1, -1):
        if not leaf[node]:
            a, b = left[node], right[node]
            value[node] = (value[a] * size[a] + value[b] * size[b]) / max(size[a] + size[b], 1e-12)
    return Trees(
        np.zeros(1, np.int32),
        np.where(leaf, LEAF, tree.feature).astype(np.int16),
        # sklearn compares float32 ranks with float64 thresholds; the largest float32 not above decides the same.
        _float32_below(np.asarray(tree.threshold, np.float64)),
        left,
        right,
        value,
    )


def _float32_below(values: NDArray[np.float64]) -> NDArray[np.float32]:
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def fit(
    found: Sequence[LabelledWorld],
    names: Sequence[str],
    seed: int = 0,
    *,
    about: dict[str, Any] | None = None,
    report: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    **changes: Any,
) -> Forest:
    """Trees fitted to all worlds, with the null of cross-fitted ones.

    Parameters
    ----------
    found
        At least two worlds.
    names
        Signals to use.
    about
        Goes into the file: where the worlds come from.
    """
    null: list[NDArray[np.float64]] = []
    null_class: list[list[int]] = []
    classes = sorted({str(kind) for world in found for kind in world.kind[~world.attack]})
    folds = min(FOLDS, len(found))
    for fold in range(folds):
        report("folds", fold, folds + 1)
        trees = boost(*design([w for i, w in enumerate(found) if i % folds != fold], names), seed, **changes)
        for world in found[fold::folds]:
            ranks, attack, _ = design([world], names)
            null.append(trees.scores(ranks)[~attack])
            null_class.append([classes.index(kind) for kind in world.kind[~world.attack]])
    report("folds", folds, folds + 1)
    trees = boost(*design(found, names), seed, **changes)
    report("folds", folds + 1, folds + 1)
    scores: NDArray[np.float64] = np.round(np.concatenate(null), 9)
    order = np.argsort(scores, kind="stable")
    return Forest(
        tuple(names),
        trees,
        scores[order],
        np.concatenate(null_class).astype(np.int16)[order],
        tuple(classes),
        {
            "seed": seed,
            "worlds": len(found),
            "first_seed": min(world.seed for world in found),
            "last_seed": max(world.seed for world in found),
            "accounts": sum(len(world) for world in found),
            "attackers": int(sum(world.attack.sum() for world in found)),
            "boosting": {**BOOSTING, **changes},
            **(about or {}),
        },
    )
