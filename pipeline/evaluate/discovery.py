"""The false discovery rate that is realised where a nominal one was promised, by base rate and by what is in the reference.

Each world is scored as the product scores it. On the signals that this publishes the detector then judges three times by
itself, with a reference made from: the lake as it is (*own*), the lake without its attackers (*clean*: an oracle), and the
lake with attackers of other worlds put in until they are `CONTAMINATION` of it (*contaminated*). The list is Benjamini and
Hochberg's on its p-values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.clock import SystemClock
from pipeline.detectors import get_detector
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.fdr import q_values
from pipeline.evaluate.figures import over_seeds, share_over_seeds
from pipeline.evaluate.product import run_world
from pipeline.evaluate.report import fdp, plain
from pipeline.evaluate.workers import say
from pipeline.signals import SignalTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.detectors.base import Detector
    from pipeline.evaluate.product import Judged
    from pipeline.evaluate.worlds import EvaluationSettings

LAKE = "lake"
CONTAMINATION = 0.05
SCORED, OWN, CLEAN, CONTAMINATED = "as scored", "own reference", "clean", "contaminated"
WAYS = (SCORED, OWN, CLEAN, CONTAMINATED)


@dataclass(frozen=True, slots=True)
class Task:
    """One world; ``group`` is its row in the report, ``strangers`` attackers for the contaminated reference."""

    settings: EvaluationSettings
    group: str
    detector: str
    fdr: float
    strangers: SignalTable | None = field(default=None, repr=False)


@dataclass(slots=True)
class Lists:
    """Who is accused in each way, bool[accounts], and the attackers' signals for other worlds."""

    group: str
    judged: Judged
    listed: dict[str, NDArray[np.bool_]]
    attackers: SignalTable


def lists_of(task: Task) -> Lists:
    """Score one world and judge it by the three references."""
    judged = run_world(
        task.settings,
        ours=[task.detector],
        baselines=[],
        clock=SystemClock(),
        fdr=task.fdr,
        label=task.group,
        report=say,
    )
    outcome = judged.outcomes[task.detector]
    assert outcome.listed is not None
    table = SignalTable(
        np.array([each.account_id for each in judged.truth], object),
        np.array([each.records for each in judged.truth], np.int64),
        outcome.signals,
    )
    attack = judged.attack
    strangers = task.strangers if task.strangers is not None else rows_of(table, attack)
    detector = get_detector(task.detector)
    listed = {
        SCORED: outcome.listed,
        **{
            way: list_by(detector, table, reference, task.fdr)
            for way, reference in references(table, attack, strangers, task.settings.seed).items()
        },
    }
    outcome.signals = {}
    return Lists(task.group, judged, listed, rows_of(table, attack & judged.enough))


def references(
    table: SignalTable, attack: NDArray[np.bool_], strangers: SignalTable, seed: int
) -> dict[str, SignalTable]:
    """The populations that the three references are made from."""
    clean = rows_of(table, ~attack)
    able = int((clean.records >= MIN_RECORDS).sum())
    wanted = round(CONTAMINATION / (1 - CONTAMINATION) * able)
    order = np.random.default_rng([seed, 0xFD]).permutation(len(strangers))
    # As often as needed: a population with doubles is what a large campaign looks like.
    chosen = np.resize(order, wanted) if len(strangers) else order
    dirty = SignalTable.joined([clean, rows_of(strangers, chosen)], list(table.columns))
    return {OWN: table, CLEAN: clean, CONTAMINATED: dirty}


def list_by(detector: Detector, table: SignalTable, population: SignalTable, fdr: float) -> NDArray[np.bool_]:
    """The alert list of a table by a population's reference."""
    judgement = detector.judge(table, detector.reference(LAKE, population))
    listed: NDArray[np.bool_] = np.nan_to_num(q_values(judgement.p_value), nan=1.0) <= fdr
    return listed


def rows_of(table: SignalTable, rows: NDArray[Any]) -> SignalTable:
    """Some accounts of a table."""
    return SignalTable(
        table.account_id[rows],
        table.records[rows],
        {name: values[rows] for name, values in table.columns.items()},
    )


def run(
    groups: Sequence[tuple[str, EvaluationSettings]],
    detector: str,
    fdr: float,
    in_order: Callable[[Callable[[Task], Lists], Sequence[Task]], list[Lists]],
) -> dict[str, Any]:
    """Every world of every group; those with the most attackers first, since they lend theirs to the others.

    Parameters
    ----------
    groups
        Label and settings of each world.
    in_order
        Does the work, such as `workers.in_processes`.
    """
    richest = max(settings.attack_share for _, settings in groups)
    tasks = [Task(settings, label, detector, fdr) for label, settings in groups]
    lenders = [task for task in tasks if task.settings.attack_share == richest and richest > 0]
    found = {id(task): each for task, each in zip(lenders, in_order(lists_of, lenders), strict=True)}
    lent = [each.attackers for each in found.values()]
    strangers = SignalTable.joined(lent, list(lent[0].columns)) if lent else None
    rest = [task for task in tasks if id(task) not in found]
    given = [replace(task, strangers=strangers) for task in rest]
    for task, each in zip(rest, in_order(lists_of, given), strict=True):
        found[id(task)] = each
    worlds = [found[id(task)] for task in tasks]
    labels = list(dict.fromkeys(label for label, _ in groups))
    return {
        "protocol": "fdr",
        "nominal": fdr,
        "detector": detector,
        "contamination": CONTAMINATION,
        "groups": {label: summarise_lists([w for w in worlds if w.group == label]) for label in labels},
    }


def summarise_lists(worlds: Sequence[Lists]) -> dict[str, Any]:
    """Realised rates of each way over the worlds of one group."""
    out: dict[str, Any] = {
        "worlds": len(worlds),
        "accounts": sum(len(w.judged.truth) for w in worlds),
        "attackers": sum(int(w.judged.attack.sum()) for w in worlds),
        "specialists": sum(each.specialist for w in worlds for each in w.judged.truth),
        "seeds": [w.judged.settings.seed for w in worlds],
    }
    for way in WAYS:
        listed = [w.listed[way] for w in worlds]
        pairs = [(a, w.judged) for a, w in zip(listed, worlds, strict=True)]
        special = [np.array([e.specialist for e in w.truth], bool) & w.enough for _, w in pairs]
        rates = [fdp(a, w) for a, w in pairs]
        out[way] = plain(
            {
                "listed": int(sum(a.sum() for a in listed)),
                "false_discovery": over_seeds(rates),
                "worst_false_discovery": max(rates),
                "false_discovery_pooled": share_over_seeds(
                    [(int((a & ~w.attack).sum()), int(a.sum())) for a, w in pairs]
                ),
                "worlds_that_accuse": share_over_seeds([(int((a & ~w.attack).any()), 1) for a, w in pairs]),
                "accused": share_over_seeds(
                    [
                        (int((a & ~w.attack & w.enough).sum()), int((~w.attack & w.enough).sum()))
                        for a, w in pairs
                    ]
                ),
                "specialists_accused": share_over_seeds(
                    [(int((a & s).sum()), int(s.sum())) for (a, _), s in zip(pairs, special, strict=True)]
                ),
                "found": share_over_seeds(
                    [
                        (int((a & w.attack & w.enough).sum()), int((w.attack & w.enough).sum()))
                        for a, w in pairs
                    ]
                ),
            }
        )
    return out
