"""Fit the forest to simulated worlds: ``python -m pipeline.fit.forest --data ../shared/data --cache DIR --workers 2``.

Gradient boosting of shallow trees (Friedman, Annals of Statistics 29, 2001) on mid-ranks within each world. Worlds, not
accounts, are what is drawn: habits, roles of the sources, shares of the kinds, sizes and base rates are new in each.
Scores of benign accounts by trees fitted without their world (folds over worlds) are the nulls that p-values rest on; what
two nulls say together is calibrated on worlds of its own (`pipeline.fit.agreement`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Console

from pipeline.classes.calibration import ClassNull, Survival
from pipeline.classes.classes import shipped_classes
from pipeline.detectors.forest.model import FOREST_FILE, Forest, NullSample, middle
from pipeline.detectors.forest.trees import LEAF, Trees
from pipeline.evaluate.workers import in_processes
from pipeline.fit import agreement
from pipeline.fit.agreement import calibrated
from pipeline.signals import SignalTable
from pipeline.signals.every import EVERY, FAMILY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.classes.classes import Classes
    from pipeline.fit.labelled import LabelledWorld

USED = tuple(name for name in EVERY if FAMILY[name] != "content")
"""Signals that the shipped forest may ask for. Content is not guilt, and in worlds where any corpus may be the harvested
one it tells nothing (`distillwatch evaluate --protocol ablation` has a row without them)."""

FITTED = 0.6
"""Worlds as tame as this or tamer are fitted to: where anything may be anybody's habit, trees learn to look at no habit."""

FOLDS = 4
BOOSTING: dict[str, Any] = {
    "n_estimators": 400,
    "max_depth": 5,
    "learning_rate": 0.06,
    "subsample": 0.5,
    "max_features": 0.15,
    "min_samples_leaf": 20,
}
SHIPPED: dict[str, Any] = {"n_estimators": 600, "learning_rate": 0.05}
"""What the shipped forest has instead: more and smaller steps, for more accounts."""

FURTHER: dict[str, Any] = {
    "n_estimators": 40,
    "max_depth": 2,
    "learning_rate": 0.1,
    "subsample": 0.8,
    "max_features": 0.3,
    "min_samples_leaf": 10,
}
"""Trees that learn from verdicts."""

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


def _boosted(task: tuple[Sequence[LabelledWorld], tuple[str, ...], int, dict[str, Any]]) -> Trees:
    """`boost` of worlds, for another process."""
    found, names, seed, changes = task
    return boost(*design(found, names), seed, **changes)


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
    workers: int = 1,
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
    workers
        Processes that fit; the result does not depend on it.
    """
    null: list[NDArray[np.float64]] = []
    memberships: list[NDArray[np.float64]] = []
    seen: list[NDArray[np.float64]] = []
    scale: list[NDArray[np.float64]] = []
    classes = shipped_classes()
    folds = min(FOLDS, len(found))
    report("folds", 0, folds + 1)
    # The longest first: of all worlds, then without each fold of them.
    kept = [list(found), *([w for i, w in enumerate(found) if i % folds != fold] for fold in range(folds))]
    trees, *of_fold = in_processes(
        _boosted,
        [(some, tuple(names), seed, changes) for some in kept],
        workers,
        lambda done, _task, _step="": report("folds", done, folds + 1),
    )
    for fold in range(folds):
        for place in range(fold, len(found), folds):
            ranks, attack, _ = design([found[place]], names)
            score = of_fold[fold].scores(ranks)
            null.append(score[~attack])
            seen.append(ranks[~attack])
            scale.append(np.tile(middle(score), (int((~attack).sum()), 1)))
            memberships.append(_memberships(classes, found[place])[~attack])
    scores = np.asarray(np.round(np.concatenate(null), 9), np.float64)
    among = np.concatenate(memberships)
    scales = np.asarray(np.round(np.concatenate(scale), 9), np.float64)
    forest = Forest(
        tuple(names),
        trees,
        ClassNull.fitted(scores, among, classes.names),
        Survival.fitted((scores - scales[:, 0]) / scales[:, 1], np.ones(len(scores))),
        None,
        classes.fingerprint,
        NullSample.of(np.concatenate(seen), scores, among),
        {
            "seed": seed,
            "worlds": len(found),
            "first_seed": min(world.seed for world in found),
            "last_seed": max(world.seed for world in found),
            "seeds": [world.seed for world in found],
            "accounts": sum(len(world) for world in found),
            "attackers": int(sum(world.attack.sum() for world in found)),
            "boosting": {**BOOSTING, **changes},
            **(about or {}),
        },
    )
    unseen = [replace(forest, trees=of_fold[place % folds]) for place in range(len(found))]
    return calibrated(forest, zip(unseen, found, strict=True))


def refit(
    base: Forest, ranks: SignalTable, attack: NDArray[np.bool_], weight: NDArray[np.float64], seed: int = 0
) -> Forest:
    """A forest with further trees, which learn what the base gets wrong on accounts with a known answer.

    Boosting goes on from the base's log-odds with few and very shallow trees (`FURTHER`), since verdicts are few and no
    sample of the accounts. The null is calibrated anew: the accounts behind it get the further trees' part, too. That of
    standardised scores would need their whole worlds; a refitted forest goes by scores as they are.

    Parameters
    ----------
    ranks
        Mid-ranks in their lakes of n accounts.
    attack
        bool[n], the answers.
    weight
        float64[n], how much each account counts.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    matrix = base.matrix({name: ranks.columns.get(name, np.full(len(ranks), np.nan)) for name in base.names})
    fitted = GradientBoostingClassifier(**FURTHER, init=_Before(base.trees), random_state=seed)
    fitted.fit(matrix.astype(np.float32), attack, sample_weight=weight)
    more = Trees.joined([_tree(each.tree_, FURTHER["learning_rate"]) for each in fitted.estimators_[:, 0]])
    sample = base.sample
    score = np.asarray(np.round(sample.score + more.scores(sample.ranks / 255.0), 9), np.float64)
    among, names = sample.memberships.astype(np.float64), base.null.names
    return replace(
        base,
        trees=Trees.joined([base.trees, more]),
        null=ClassNull.fitted(score, among, names, weights=sample.weight),
        standard_null=None,
        agreed=None,
        sample=replace(sample, score=score),
        fitted={**base.fitted, "further": {"boosting": FURTHER, "seed": seed, "accounts": len(ranks)}},
    )


class _Before:
    """The base's log-odds, as the library wants where boosting begins."""

    def __init__(self, trees: Trees) -> None:
        self.trees = trees
        self.classes_ = np.array([False, True])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What makes a copy of it."""
        del deep
        return {"trees": self.trees}

    def fit(self, *_: object, **__: object) -> _Before:
        """It is fitted already."""
        return self

    def predict_proba(self, ranks: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities float64[n, 2] that have these log-odds, kept off 0 and 1."""
        odds = np.clip(self.trees.scores(ranks.astype(np.float64)), -12.0, 12.0)
        attack = 1 / (1 + np.exp(-odds))
        return np.stack([1 - attack, attack], axis=1)


def _memberships(classes: Classes, world: LabelledWorld) -> NDArray[np.float64]:
    names = [name for name in classes.space if name in world.values]
    ids = np.array([f"{i:06d}" for i in range(len(world))], object)
    return classes.assign(SignalTable(ids, world.records, world.ranks(names)))


def report_on(forest: Forest, found: Sequence[LabelledWorld], fdr: float) -> list[tuple[str, bool, int, int]]:
    """Kind, whether it attacks, accounts, and how many are in the list, over worlds that were not fitted on."""
    from pipeline.detectors.fdr import q_values
    from pipeline.detectors.forest.detector import ForestDetector

    detector = ForestDetector(forest)
    counts: dict[tuple[bool, str], list[int]] = {}
    for world in found:
        ids = np.array([f"{i:06d}" for i in range(len(world))], object)
        table = SignalTable(ids, world.records, world.values)
        judged = detector.judge(table, detector.reference("lake", table))
        listed = np.nan_to_num(q_values(judged.p_value), nan=1.0) <= fdr
        for attack, kind, hit in zip(
            world.attack.tolist(), world.kind.tolist(), listed.tolist(), strict=True
        ):
            entry = counts.setdefault((attack, str(kind)), [0, 0])
            entry[0] += 1
            entry[1] += hit
    return [(kind, attack, *counts[attack, kind]) for attack, kind in sorted(counts)]  # type: ignore[misc]


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("../shared/data"),
    show_default=True,
    help="Folder with embeddings/<source>.parquet.",
)
@click.option(
    "--worlds",
    "count",
    type=click.IntRange(4),
    default=169,
    show_default=True,
    help="With habits drawn anew; those tame enough are fitted to.",
)
@click.option(
    "--tame-worlds",
    "tame",
    type=click.IntRange(0),
    default=52,
    show_default=True,
    help="With the simulator's habits.",
)
@click.option("--first-seed", type=int, default=330_000, show_default=True)
@click.option("--accounts", type=click.IntRange(100), default=2000, show_default=True, help="Of most worlds.")
@click.option(
    "--judge", type=click.IntRange(0), default=6, show_default=True, help="Worlds to judge on, after."
)
@click.option(
    "--calibrate",
    type=click.IntRange(0),
    default=agreement.WORLDS,
    show_default=True,
    help="Whole worlds to calibrate p-values on, as `python -m pipeline.fit.agreement` does; 0: on the fit's own.",
)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Keeps worlds as matrices.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the trees.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=FOREST_FILE, show_default=True
)
def command(
    data: Path,
    count: int,
    tame: int,
    first_seed: int,
    accounts: int,
    judge: int,
    calibrate: int,
    cache: Path | None,
    workers: int,
    seed: int,
    out: Path,
) -> None:
    """Fit the shipped forest, write it, and print what it finds and whom it accuses in worlds it has not seen."""
    from pipeline.cli.progress import Steps
    from pipeline.fit.labelled import plans, worlds

    console = Console(width=110, highlight=False)
    randomised = [
        plan
        for plan in plans(count, first_seed, data, accounts)
        if plan.tameness is not None and plan.tameness >= FITTED
    ]
    as_shipped = [
        replace(plan, tameness=None) for plan in plans(tame + judge, first_seed + 10_000, data, accounts)
    ]
    whole = agreement.plans(calibrate, agreement.FIRST_SEED, data, agreement.ACCOUNTS)
    wanted = [*randomised, *as_shipped, *whole]
    fitted_on = len(randomised) + tame
    made: list[LabelledWorld] = []
    with Steps("fit") as steps:
        for world in worlds(wanted, cache, workers):
            made.append(world)
            steps.report("worlds", len(made), len(wanted))
        fitted = fit(
            made[:fitted_on],
            USED,
            seed,
            about={"accounts_asked": accounts},
            workers=workers,
            report=steps.report,
            **SHIPPED,
        )
    if calibrate:
        fitted = agreement.on_worlds(fitted, made[fitted_on + judge :])
    fitted.save(out)
    console.print(f"{out}: {fitted.fingerprint}, {out.stat().st_size:,} bytes")
    console.print(", ".join(f"{name} {value}" for name, value in fitted.fitted.items()))
    used = fitted.trees.used(len(fitted.names))
    first = [f"{fitted.names[i]} {used[i]}" for i in np.argsort(-used, kind="stable")[:20]]
    console.print(f"asked most: {', '.join(first)}")
    for kind, attack, accounts_of, listed in report_on(fitted, made[fitted_on : fitted_on + judge], 0.05):
        side = "attack" if attack else "benign"
        console.print(
            f"{side:7} {kind:20} {accounts_of:6,} accounts, {listed:5,} listed ({listed / accounts_of:.1%})"
        )


if __name__ == "__main__":
    command()
