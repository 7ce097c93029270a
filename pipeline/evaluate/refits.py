"""Detectors fitted anew: without a family of signals (ablation), or on worlds that lack what is then judged (transfer).

Worlds are matrices of signals (`pipeline.fit.labelled`): generated once, by several processes, and kept in a folder under
a name made of their settings and of the code that computes signals. What is judged is the account level: scores, p-values and
the list that Benjamini and Hochberg's rule makes of them. Clusters need the lake and are in the product protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detectors.fdr import q_values
from pipeline.errors import UsageError
from pipeline.evaluate.product import Judged, Outcome
from pipeline.evaluate.report import summarise
from pipeline.evaluate.worlds import Split, Truth, leave_one_kind_out, leave_one_source_out
from pipeline.signals import SignalTable
from pipeline.signals.every import FAMILY
from pipeline.simulate.kinds import BENIGN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pipeline.detectors.base import Detector
    from pipeline.evaluate.worlds import EvaluationSettings
    from pipeline.fit.labelled import LabelledWorld, WorldPlan

    Fit = Callable[[Sequence[LabelledWorld], Sequence[str], int], Detector]

LAKE = "lake"
FULL = "all signals"
REFITTED = "refitted"


def forest_fit(**changes: Any) -> Fit:
    """Fits the shipped kind of detector; ``changes`` go to the boosting.

    Raises
    ------
    UsageError
        The extra that fits is not installed.
    """
    try:
        import sklearn  # noqa: F401 - only whether it is there
    except ImportError as error:
        msg = "fitting anew needs scikit-learn; install it with `pip install 'distillwatch[fit]'`, or leave --refit and the ablation out"
        raise UsageError(msg) from error

    def fitted(found: Sequence[LabelledWorld], names: Sequence[str], seed: int) -> Detector:
        from pipeline.detectors.forest import ForestDetector
        from pipeline.fit.forest import fit

        return ForestDetector(fit(found, names, seed, **changes))

    return fitted


def judge_matrix(
    detector: Detector, world: LabelledWorld, settings: EvaluationSettings, fdr: float, label: str
) -> Judged:
    """A world of signals judged by its own reference, in the form of the product protocol."""
    table = SignalTable(
        np.array([f"{world.seed}-{i:05d}" for i in range(len(world))], object), world.records, world.values
    )
    judgement = detector.judge(table, detector.reference(LAKE, table))
    listed = np.nan_to_num(q_values(judgement.p_value), nan=1.0) <= fdr
    special = world.specialist if world.specialist is not None else np.zeros(len(world), bool)
    truth = tuple(
        Truth(
            name,
            str(kind),
            bool(attack),
            str(campaign) or None,
            int(n),
            int(n) * int(attack),
            (),
            bool(works),
        )
        for name, kind, attack, campaign, n, works in zip(
            table.account_id, world.kind, world.attack, world.campaign, world.records, special, strict=True
        )
    )
    outcome = Outcome(judgement.score, listed, np.zeros(len(world), bool))
    return Judged(settings, truth, (), int(world.records.sum()), {REFITTED: outcome}, label)


def fit_plans(
    count: int, first_seed: int, data: Path | None, accounts: int, **changes: Any
) -> list[WorldPlan]:
    """Worlds to fit on: as wild as those of the shipped forest, and none of the kinds that only evaluation has."""
    from pipeline.fit.forest import FITTED
    from pipeline.fit.labelled import plans

    return [
        replace(
            plan,
            settings=replace(plan.settings, beyond=False, **changes),
            tameness=(None, 1.0, None, FITTED)[number % 4],
        )
        for number, plan in enumerate(plans(count, first_seed, data, accounts))
    ]


@dataclass(frozen=True, slots=True)
class Source:
    """Where matrices come from: a folder that keeps them (None: nowhere), so many processes at a time."""

    folder: Path | None
    workers: int = 1

    def worlds(
        self, wanted: Sequence[WorldPlan], report: Callable[[int, int, str], None], what: str
    ) -> list[LabelledWorld]:
        """Every world, from the folder or made now."""
        from pipeline.fit.labelled import worlds

        found = []
        for world in worlds(wanted, self.folder, self.workers):
            found.append(world)
            report(len(found), len(wanted), what)
        return found


def ablation(
    fitted_on: Sequence[LabelledWorld],
    judged_in: Sequence[tuple[LabelledWorld, EvaluationSettings]],
    fit: Fit,
    *,
    seed: int = 0,
    fdr: float = 0.05,
    families: Sequence[str] | None = None,
    report: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> dict[str, Any]:
    """The detector with all signals, and without each family of them, on the same worlds.

    Parameters
    ----------
    families
        Default: every one that has a signal here.
    """
    names = [name for name in fitted_on[0].values if name in FAMILY]
    known = [family for family in dict.fromkeys(FAMILY.values()) if any(FAMILY[n] == family for n in names)]
    wanted = list(known if families is None else families)
    if unknown := set(wanted) - set(known):
        msg = f"no family of signals {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        raise UsageError(msg)
    rows: dict[str, Any] = {}
    for done, family in enumerate([None, *wanted]):
        label = FULL if family is None else f"without {family}"
        report(done, len(wanted) + 1, label)
        left = [name for name in names if FAMILY[name] != family]
        detector = fit(fitted_on, left, seed)
        judged = [judge_matrix(detector, world, settings, fdr, label) for world, settings in judged_in]
        rows[label] = {"signals": len(left), **_short(judged)}
    report(len(wanted) + 1, len(wanted) + 1, "done")
    return {
        "protocol": "ablation",
        "nominal": fdr,
        "fitted_on": [world.seed for world in fitted_on],
        "judged_in": [world.seed for world, _ in judged_in],
        "attackers": int(sum(world.attack.sum() for world, _ in judged_in)),
        "benign": int(sum((~world.attack).sum() for world, _ in judged_in)),
        "families": {family: [n for n in names if FAMILY[n] == family] for family in wanted},
        "rows": rows,
    }


def _short(judged: Sequence[Judged]) -> dict[str, Any]:
    """The figures by which fits are compared."""
    full = summarise(judged)["detectors"][REFITTED]
    listed = full["alert_list"]
    return {
        "auc": full["auc"],
        "found_at_fpr": full["at_fpr"]["detection"],
        "found_no_class_above": full["at_fpr_in_every_class"]["detection"]["all"],
        "specialists_at_fpr": full["at_fpr"]["false_positives"]["specialists"],
        "accused_at_fpr": full["at_fpr"]["false_positives"],
        "recall_in_top": full["recall_in_top"],
        "list": {
            "found": listed["detection"]["all"],
            "found_by_kind": listed["detection"],
            "accused": listed["false_positives"],
            "false_discovery": listed["false_discovery"],
            "listed": listed["listed"],
        },
    }


def splits_of(what: str, settings: EvaluationSettings) -> list[Split]:
    """One split for each source or kind.

    Raises
    ------
    UsageError
        Neither of them.
    """
    if what not in {"source", "kind"}:
        msg = f"--leave-out {what}: a detector can be fitted anew without each source or without each kind"
        raise UsageError(msg)
    return leave_one_source_out(settings) if what == "source" else leave_one_kind_out(settings)


def transfer(
    what: str,
    base: EvaluationSettings,
    fit: Fit,
    source: Source,
    *,
    fit_worlds: int,
    fit_seed: int,
    fit_accounts: int,
    seeds: Iterable[int],
    fdr: float = 0.05,
    only: Sequence[str] = (),
    report: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> dict[str, Any]:
    """For each split a detector fitted without the thing, judged where it is, and what it does to the thing.

    Without a source: worlds of their own, in which nobody sends it. Without a kind: the same worlds for all, accounts of the
    kind taken out of them.

    Parameters
    ----------
    only
        Names of sources or kinds; default: all.
    """
    from pipeline.fit.labelled import WorldPlan, without

    splits = [split for split in splits_of(what, base) if not only or split.name in only]
    if not splits:
        msg = f"nothing to leave out is called {', '.join(only)}"
        raise UsageError(msg)
    numbers = list(seeds)
    shared: list[LabelledWorld] = []
    if what == "kind":
        plans = fit_plans(fit_worlds, fit_seed, base.data, fit_accounts)
        shared = source.worlds(plans, report, "worlds to fit on")
    rows: dict[str, Any] = {}
    for number, split in enumerate(splits):
        if what == "kind":
            found = [without(world, ~_of_kind(world, split.name)) for world in shared]
        else:
            plans = fit_plans(
                fit_worlds, fit_seed, base.data, fit_accounts, without_sources=split.fit.without_sources
            )
            found = source.worlds(plans, report, f"worlds without {split.name}")
        settings = [replace(split.judge, seed=1000 * seed + 500 + number) for seed in numbers]
        judged_in = source.worlds([WorldPlan(each) for each in settings], report, f"worlds with {split.name}")
        report(number, len(splits), f"fit without {split.name}")
        names = [name for name in found[0].values if name in FAMILY]
        detector = fit(found, names, 0)
        judged = [
            judge_matrix(detector, world, each, fdr, split.name)
            for world, each in zip(judged_in, settings, strict=True)
        ]
        row: dict[str, Any] = {
            "benign_kind": split.name in BENIGN,
            "fitted_on": [world.seed for world in found],
            "judged_in": [each.seed for each in settings],
            "attackers": int(sum(world.attack.sum() for world in judged_in)),
            **_short(judged),
        }
        if split.name in BENIGN:
            full = summarise(judged)["detectors"][REFITTED]
            row["accused_of_kind"] = {
                "list": full["alert_list"]["false_positives"].get(split.name),
                "at_fpr": full["at_fpr"]["false_positives"].get(split.name),
            }
        rows[split.name] = row
    report(len(splits), len(splits), "done")
    return {"protocol": "transfer", "left_out": what, "nominal": fdr, "rows": rows}


def _of_kind(world: LabelledWorld, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Accounts of a kind, diluted ones by whatever share they have."""
    return np.array([str(kind) == name or str(kind).startswith(f"{name}_") for kind in world.kind], bool)
