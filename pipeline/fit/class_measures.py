"""What the benign classes are worth: ``python -m pipeline.fit.class_measures``.

1. *Calibration.* A plain ridge score is fitted on worlds; each world's benign accounts are scored by a fit on others and
   give a pooled null and one for each class. False-positive rates by true kind on further worlds, also with a kind left
   out of score, classes and null.
2. *Contamination.* The benign accounts of the further worlds are one lake; attackers are added, also such that imitate one
   class. How far do the lake's classes move (worst quantile of a signal in a class, as a difference of ranks), how do
   p-values of benign accounts change, and how well do attackers still stand out?
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.classes import Classes, ClassNull, benign_weights, recalibrate
from pipeline.detectors.reference import Distribution
from pipeline.fit.classes import CLASSES, Accounts, fit_classes
from pipeline.fit.labelled import LabelledWorld, plans, without, worlds
from pipeline.signals import SignalTable
from pipeline.signals.content import CONTENT
from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

FOLDS = 4
# Of the search for classes; more are likelier by a trifle.
STARTS = 1
PENALTY = 30.0
LEFT_OUT = (("researcher",), ("evaluation_harness", "regression_suite"))
IMITATED = "list worker (one pass, each prompt once)"
LAKE_SHARE = 0.75


def design(ranks: SignalTable) -> Numbers:
    """Ranks, their squares and a constant; unknown ranks are in the middle."""
    names = [name for name in EVERY if name in ranks.columns and name not in CONTENT]
    each = np.stack([np.nan_to_num(ranks.columns[name], nan=0.5) - 0.5 for name in names], axis=1)
    return np.concatenate([each, each**2 - 1 / 12, np.ones((len(each), 1))], axis=1)


def ridge(accounts: Accounts, attack: NDArray[np.bool_]) -> Numbers:
    """Coefficients of a ridge regression; both sides weigh the same."""
    rows = design(accounts.ranks)
    weight = np.where(attack, 0.5 / attack.mean(), 0.5 / (1 - attack.mean()))
    product = rows.T @ (rows * weight[:, None]) + PENALTY * np.eye(rows.shape[1])
    found: Numbers = np.linalg.solve(product, rows.T @ (weight * np.where(attack, 1.0, -1.0)))
    return found


@dataclass(frozen=True, slots=True)
class Judge:
    """A score, classes and a null, fitted on the same worlds."""

    weights: Numbers
    classes: Classes
    null: ClassNull

    @classmethod
    def fitted(cls, several: Sequence[LabelledWorld], seed: int) -> Judge:
        """Fit; the null is of benign accounts scored by worlds without theirs."""
        classes = fit_classes(Accounts.benign(several), CLASSES, seed, STARTS)
        scores, members = [], []
        for fold in range(FOLDS):
            rest = [world for i, world in enumerate(several) if i % FOLDS != fold]
            weights = ridge(Accounts.of(rest), np.concatenate([world.attack for world in rest]))
            mine = several[fold::FOLDS]
            accounts, attack = Accounts.of(mine), np.concatenate([world.attack for world in mine])
            scores.append((design(accounts.ranks) @ weights)[~attack])
            members.append(classes.assign(accounts.ranks)[~attack])
        null = ClassNull.fitted(np.concatenate(scores), np.concatenate(members), classes.names)
        return cls(ridge(Accounts.of(several), np.concatenate([w.attack for w in several])), classes, null)

    def score(self, ranks: SignalTable) -> Numbers:
        """Higher means more like an attack."""
        found: Numbers = design(ranks) @ self.weights
        return found


def calibration(console: Console, judge: Judge, judging: Sequence[LabelledWorld], title: str) -> None:
    """False-positive rates by true kind."""
    accounts, attack = Accounts.of(judging), np.concatenate([world.attack for world in judging])
    score, members = judge.score(accounts.ranks), judge.classes.assign(accounts.ranks)
    both = judge.null.pooled(score), judge.null.p_value(score, members)
    shown = Table(title=f"{title}; null of {judge.null.pooled.weight:.0f} accounts")
    for heading in ("kind", "accounts", "pooled .05", "pooled .01", "class .05", "class .01"):
        shown.add_column(heading)
    away = []
    for kind in sorted(set(accounts.kind[~attack])):
        mine = (accounts.kind == kind) & ~attack
        rates = [float((p[mine] <= level).mean()) for p in both for level in (0.05, 0.01)]
        away.append([abs(rates[0] - 0.05), abs(rates[2] - 0.05)])
        shown.add_row(kind, str(int(mine.sum())), *(f"{rate:.3f}" for rate in rates))
    rates = [float((p[~attack] <= level).mean()) for p in both for level in (0.05, 0.01)]
    shown.add_row("all benign", str(int((~attack).sum())), *(f"{rate:.3f}" for rate in rates))
    rates = [float((p[attack] <= level).mean()) for p in both for level in (0.05, 0.01)]
    shown.add_row("attackers", str(int(attack.sum())), *(f"{rate:.3f}" for rate in rates))
    console.print(shown)
    pooled, classes = np.mean(away, axis=0)
    console.print(
        f"mean distance of a kind's rate from .05: pooled {pooled:.3f}, class by class {classes:.3f}"
    )


def lake_ranks(values: SignalTable, lake: SignalTable) -> SignalTable:
    """Mid-ranks of accounts in a lake."""
    columns = {
        name: Distribution.of(lake.columns[name]).rank(column) for name, column in values.columns.items()
    }
    return SignalTable(values.account_id, values.records, columns)


def movement(before: Classes, after: Classes) -> Numbers:
    """Largest difference of ranks between two versions of each signal in each class, float64[K, signals]."""
    rows = []
    for name in before.names:
        one, two = before.references[name].signals, after.references[name].signals
        rows.append(
            [
                float(np.abs(two[s].rank(one[s].quantiles) - one[s].rank(one[s].quantiles)).max())
                for s in one
                if len(one[s].quantiles) and s in two and len(two[s].quantiles)
            ]
        )
    width = max(len(row) for row in rows)
    return np.array([row + [np.nan] * (width - len(row)) for row in rows])


def contamination(console: Console, judge: Judge, judging: Sequence[LabelledWorld], seed: int) -> None:
    """Recalibration with attackers in the lake."""
    everybody, attack = Accounts.of(judging), np.concatenate([world.attack for world in judging])
    rng = np.random.default_rng(seed)
    benign = rng.permutation(np.flatnonzero(~attack))
    lake, held = np.split(benign, [round(LAKE_SHARE * len(benign))])
    best = np.array(judge.classes.best(judge.classes.assign(everybody.ranks)), object)
    plain = np.isin(everybody.kind, ["harvest", "reasoning_harvest", "careful_harvest"])
    pools = {
        "all kinds": rng.permutation(np.flatnonzero(attack)),
        "harvests": rng.permutation(np.flatnonzero(attack & plain)),
        "imitate one class": rng.permutation(np.flatnonzero(attack & (best == IMITATED))),
    }
    shown = Table(title=f"classes of a lake of {len(lake)} benign accounts with attackers")
    for heading in (
        "attackers", "number", "against them", "moved: mean", "worst class", "in-class rank > .95",
        "p <= .05 held-out benign", "attackers", "attackers that fit badly",
    ):  # fmt: skip
        shown.add_column(heading)
    ways = {
        "nothing": (0.0, 0.0, False),
        "trimming": (0.1, 0.025, False),
        "trimming, weights": (0.1, 0.025, True),
    }
    clean: dict[str, Classes] = {}
    for label, share in [("none", 0.0), *((name, share) for name in pools for share in (0.05, 0.1))]:
        wanted = round(share * len(lake) / (1 - share))
        added = pools[label][:wanted] if label in pools else np.empty(0, np.int64)
        here = everybody.take(np.concatenate([lake, added])).values
        ranks = lake_ranks(here, here)
        others = {
            name: everybody.take(rows).values
            for name, rows in (("held", held), ("attack", np.flatnonzero(attack)))
        }
        standing = {name: lake_ranks(each, here) for name, each in others.items()}
        members = judge.classes.assign(ranks)
        weights = benign_weights(judge.null.p_value(judge.score(ranks), members), members)
        for way, (trim, beyond, weigh) in ways.items():
            found = recalibrate(
                judge.classes, here, ranks, benign=weights if weigh else None, trim=trim, beyond=beyond
            ).classes
            moved = movement(clean.setdefault(way, found), found)
            mixed = found.assign(standing["held"])
            within = found.ranks_within(others["held"], mixed)
            high = float(np.nanmean(np.stack(list(within.values())) > 0.95))
            p = [
                judge.null.p_value(judge.score(each), _known(found, judge, found.assign(each)))
                for each in standing.values()
            ]
            fit = (found.fit(standing["attack"]) * found.assign(standing["attack"])).sum(axis=1)
            shown.add_row(
                label, str(len(added)), way, f"{np.nanmean(moved):.3f}", f"{np.nanmean(moved, axis=1).max():.3f}",
                f"{high:.3f}", *(f"{(each <= 0.05).mean():.3f}" for each in p), f"{(fit < 0.025).mean():.3f}",
            )  # fmt: skip
    console.print(shown)


def _known(found: Classes, judge: Judge, memberships: Numbers) -> Numbers:
    """Memberships in the null's classes; what was founded in the lake is judged by the pooled null's mixture."""
    columns = [found.names.index(name) for name in judge.null.names]
    mine = memberships[:, columns]
    rest = 1 - mine.sum(axis=1, keepdims=True)
    out: Numbers = mine + rest * judge.classes.mixture.share
    return out


def _left(world: LabelledWorld, kinds: Sequence[str]) -> LabelledWorld:
    return without(world, ~np.isin(world.kind, list(kinds)))


@click.command()
@click.option("--worlds", "count", default=9, show_default=True, help="Worlds to fit on.")
@click.option("--judging", default=3, show_default=True, help="The worlds after these, to judge.")
@click.option("--accounts", default=900, show_default=True)
@click.option("--first-seed", default=61_000, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="Keeps worlds between runs.")
@click.option("--workers", default=1, show_default=True)
def command(
    count: int, judging: int, accounts: int, first_seed: int, data: Path, folder: Path | None, workers: int
) -> None:
    """Measure classes, calibration by class, and contamination."""
    console = Console()
    every = list(worlds(plans(count + judging, first_seed, data, accounts), folder, workers))
    training, others = every[:count], every[count:]
    judge = Judge.fitted(training, first_seed)
    calibration(console, judge, others, "false-positive rates by true kind")
    for kinds in LEFT_OUT:
        less = Judge.fitted([_left(world, kinds) for world in training], first_seed)
        calibration(console, less, others, f"fitted without {', '.join(kinds)}")
    contamination(console, judge, others, first_seed)


if __name__ == "__main__":
    command()
