"""Fit the scorecard and the reference populations on simulated worlds.

``python -m pipeline.fit.reference`` draws randomised worlds (any source in any role, varied shares of the kinds),
fits the curves of `pipeline.detectors.robust` on some of them, takes the benign scores of others as the null and
their benign accounts as the shipped references, prints how it does on a third set, and writes
``pipeline/data/scorecard.json`` and ``reference.json``.

The curves are a logistic regression on hat functions of the ranks with a penalty on their second differences
(a generalised additive model, Hastie & Tibshirani 1986); attackers and benign accounts weigh the same in all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.detectors.fdr import q_values
from pipeline.detectors.reference import Distribution, Reference
from pipeline.detectors.robust import (
    KNOTS,
    LAKE,
    REFERENCE_FILE,
    SCORECARD_FILE,
    RobustDetector,
    Scorecard,
)
from pipeline.fit.worlds import LOOKS, WorldSignals, simulate_signals
from pipeline.signals import SIGNALS, Population, SignalTable
from pipeline.signals.content import CONTENT
from pipeline.simulate.world import WorldSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

TRAINING, CALIBRATION, JUDGING = 0, 1, 2
PENALTY = 1.5
# What the content is like is no evidence by itself.
NAMES = tuple(name for name in SIGNALS if name not in CONTENT)
NULL_QUANTILES = 4001
# What the public reports and the measurements say which way it points; such a curve only rises (1) or falls (-1).
# The others may bend: an artefact of the simulated habits is then seen in the curve.
DIRECTIONS = {
    "topic_entropy": 1,
    "topic_coverage": 1,
    "prompt_repeat_rate": -1,
    "slots_per_template": 1,
    "reasoning_share": 1,
    "multiple_choices_share": 1,
    "output_tokens": 1,
    "hour_entropy": 1,
}


@dataclass(frozen=True, slots=True)
class Split:
    """Which seeds serve what: ``first + 1000 * part + i``; training has three times as many worlds."""

    first: int
    worlds: int

    def settings(self, part: int) -> list[WorldSettings]:
        """Settings of the worlds of one part; every other one has the default roles."""
        rng = np.random.default_rng([self.first, part])
        out = []
        for i in range(self.worlds * (3 if part == TRAINING else 1)):
            accounts = 600
            share = 0.15 if part == TRAINING else float(rng.choice([0.0, 0.01, 0.03, 0.06]))
            out.append(
                WorldSettings(
                    records=int(accounts * rng.uniform(110, 260)),
                    accounts=accounts,
                    seed=self.first + 1000 * part + i,
                    attack_share=share,
                    days=float(rng.choice([3, 7, 10])),
                    randomise=i % 2 == 1,
                )
            )
        return out


def hats(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the hat functions at `KNOTS`, float64[n, 9]; zero rows for NaN."""
    known = ~np.isnan(ranks)
    filled = np.where(known, ranks, 0.5)
    eye = np.eye(len(KNOTS))
    out = np.stack([np.interp(filled, KNOTS, eye[k]) for k in range(len(KNOTS))], axis=1)
    return np.where(known[:, None], out, 0.0)


def own_ranks(world: WorldSignals) -> NDArray[np.float64]:
    """Ranks of a world's accounts among themselves, float64[n, signals]."""
    reference = Reference.of(LAKE, world.whole, world.population)
    return np.stack([reference.signals[name].rank(world.whole.columns[name]) for name in NAMES], axis=1)


def fit_curves(worlds: Sequence[WorldSignals], penalty: float = PENALTY) -> dict[str, NDArray[np.float64]]:
    """Curves of all signals from labelled worlds."""
    ranks = np.concatenate([own_ranks(world) for world in worlds])
    attack = np.concatenate([world.attacking(world.whole) for world in worlds])
    weight = np.where(attack, 0.5 / attack.mean(), 0.5 / (1 - attack.mean()))
    size, signals = len(KNOTS), ranks.shape[1]
    # A curve is its first value and the steps from knot to knot: a direction is then a bound on the steps.
    steps = np.tril(np.ones((size, size)))
    design = np.concatenate([hats(ranks[:, j]) @ steps for j in range(signals)], axis=1)
    # Wiggle costs, and so does height: a signal that says nothing is flat at zero.
    bend = np.diff(np.eye(size), 2, axis=0)
    price = steps.T @ (penalty * (bend.T @ bend) + 0.25 * penalty * np.eye(size)) @ steps
    cost = np.kron(np.eye(signals), price)
    bounds: list[tuple[float | None, float | None]] = [(None, None)]
    for name in NAMES:
        step = {1: (0.0, None), -1: (None, 0.0), 0: (None, None)}[DIRECTIONS.get(name, 0)]
        bounds += [(None, None), *[step] * (size - 1)]

    def loss(b: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = design @ b[1:] + b[0]
        slope = weight * (expit(z) - attack)
        value = float((weight * (np.logaddexp(0, z) - attack * z)).sum() + b[1:] @ cost @ b[1:])
        return value, np.concatenate([[slope.sum()], design.T @ slope + 2 * cost @ b[1:]])

    start = np.zeros(1 + size * signals)
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 3000, "maxfun": 6000}
    ).x
    grid = np.linspace(0, 1, 401)
    curves = {}
    for j, name in enumerate(NAMES):
        curve = steps @ found[1 + j * size : 1 + (j + 1) * size]
        curves[name] = np.round(curve - np.interp(grid, KNOTS, curve).mean(), 4)
    return curves


def benign(world: WorldSignals, table: SignalTable) -> SignalTable:
    """The benign accounts of a table."""
    return table.take(~world.attacking(table))


def own_scores(detector: RobustDetector, world: WorldSignals) -> NDArray[np.float64]:
    """Scores of all accounts of a world by its own ranks."""
    return detector.scores(world.whole, detector.reference(LAKE, world.whole, world.population))[0]


def calibrate(
    curves: dict[str, NDArray[np.float64]], worlds: Sequence[WorldSignals], fitted: dict[str, object]
) -> tuple[Scorecard, dict[str, Reference]]:
    """The null and the shipped references, from worlds that the curves were not fitted on."""
    null = Distribution(np.empty(0), 0, 0)
    # Twice: trimming a world's population needs p-values, so the first null is that of untrimmed worlds.
    for _ in range(2):
        detector = RobustDetector(Scorecard(curves, null, {}))
        scores = [own_scores(detector, world)[~world.attacking(world.whole)] for world in worlds]
        null = _rounded(Distribution.of(np.concatenate(scores), NULL_QUANTILES))
    population = Population.empty()
    for world in worlds:
        population = population.plus(world.population)
    references = {}
    for name, tables in _tables(worlds):
        joined = SignalTable.joined([benign(w, t) for w, t in zip(worlds, tables, strict=True)], list(NAMES))
        ranks = Reference.of(name, joined, population)
        signals = {key: _rounded(each, 6) for key, each in ranks.signals.items() if key in NAMES}
        ranks = Reference(name, signals, None, population)
        null_scores = _rounded(Distribution.of(detector.scores(joined, ranks)[0], NULL_QUANTILES))
        references[name] = Reference(name, signals, null_scores, population)
    return Scorecard(curves, null, fitted), references


def _tables(worlds: Sequence[WorldSignals]) -> Iterable[tuple[str, list[SignalTable]]]:
    yield "shipped", [world.whole for world in worlds]
    for look in worlds[0].looks:
        yield f"shipped-{look}", [world.looks[look] for world in worlds]


def _rounded(distribution: Distribution, digits: int = 4) -> Distribution:
    if digits == 4:
        values = np.round(distribution.quantiles, digits)
    else:
        values = np.array([float(f"{value:.{digits}g}") for value in distribution.quantiles])
    return Distribution(values, distribution.accounts, distribution.missing)


@dataclass(slots=True)
class Tally:
    """Found and all, by kind."""

    found: dict[str, int]
    of: dict[str, int]

    def add(self, kinds: NDArray[np.object_], chosen: NDArray[np.bool_]) -> None:
        """Count accounts."""
        for kind, hit in zip(kinds, chosen, strict=True):
            self.of[kind] = self.of.get(kind, 0) + 1
            self.found[kind] = self.found.get(kind, 0) + int(hit)


def judge_worlds(
    detector: RobustDetector, worlds: Sequence[WorldSignals], fdr: float
) -> tuple[Tally, Tally, list[tuple[int, int, int]]]:
    """Alerts per attack kind and per benign kind, and (alerts, false ones, attackers) of each world."""
    attacks, benign_kinds, lists = Tally({}, {}), Tally({}, {}), []
    for world in worlds:
        reference = detector.reference(LAKE, world.whole, world.population)
        q = q_values(detector.judge(world.whole, reference).p_value)
        chosen = np.nan_to_num(q, nan=1.0) <= fdr
        attack, kinds = world.attacking(world.whole), world.kinds(world.whole)
        attacks.add(kinds[attack], chosen[attack])
        benign_kinds.add(kinds[~attack], chosen[~attack])
        lists.append((int(chosen.sum()), int(chosen[~attack].sum()), int(attack.sum())))
    return attacks, benign_kinds, lists


def report(console: Console, detector: RobustDetector, worlds: Sequence[WorldSignals], fdr: float) -> None:
    """Print recall per attack kind, false positives per benign kind, and the realised rate of each list."""
    attacks, benign_kinds, lists = judge_worlds(detector, worlds, fdr)
    shown = Table(title=f"left-out worlds, nominal false discovery rate {fdr}")
    for heading in ("kind", "accounts", "in the list", "share"):
        shown.add_column(heading)
    for tally in (attacks, benign_kinds):
        for kind in sorted(tally.of):
            shown.add_row(
                kind, str(tally.of[kind]), str(tally.found[kind]), f"{tally.found[kind] / tally.of[kind]:.3f}"
            )
    console.print(shown)
    rates = [false / max(alerts, 1) for alerts, false, _ in lists]
    console.print(
        f"mean false discovery proportion {np.mean(rates):.3f}, worst {np.max(rates):.3f}; lists {lists}"
    )


@click.command()
@click.option(
    "--worlds",
    default=8,
    show_default=True,
    help="Worlds for calibration, and for judging; three times as many train.",
)
@click.option("--first-seed", default=50_000, show_default=True)
@click.option("--fdr", default=0.05, show_default=True)
@click.option("--save/--no-save", default=True, help="Write the shipped files.")
def command(worlds: int, first_seed: int, fdr: float, save: bool) -> None:
    """Fit the scorecard and the references on simulated worlds."""
    console = Console()
    split = Split(first_seed, worlds)
    parts = []
    for part in (TRAINING, CALIBRATION, JUDGING):
        done = []
        for settings in split.settings(part):
            done.append(simulate_signals(settings, looks=LOOKS if part == CALIBRATION else ()))
            console.print(f"part {part}: world {settings.seed}, {settings.records} records")
        parts.append(done)
    curves = fit_curves(parts[TRAINING])
    fitted = {
        "worlds": worlds,
        "first_seed": first_seed,
        "penalty": PENALTY,
        "training_seeds": [world.settings.seed for world in parts[TRAINING]],
        "calibration_seeds": [world.settings.seed for world in parts[CALIBRATION]],
    }
    scorecard, references = calibrate(curves, parts[CALIBRATION], fitted)
    if save:
        SCORECARD_FILE.write_text(json.dumps(scorecard.to_json(), separators=(",", ":")) + "\n")
        value = {"references": {name: each.to_json() for name, each in references.items()}}
        REFERENCE_FILE.write_text(json.dumps(value, separators=(",", ":")) + "\n")
    report(console, RobustDetector(scorecard), parts[JUDGING], fdr)


if __name__ == "__main__":
    command()
