"""How often benign accounts have such a mean of the forest's two p-values: ``python -m pipeline.fit.agreement --data ../shared/data``.

The geometric mean of two p-values is no p-value: of two that agree it is one, of others it is too small by up to e (Vovk and
Wang, Biometrika 107, 2020). How small it is here is measured on whole worlds under the conditions of use, scored as a
lake is: ten days, 3,000 accounts, 5 %, 1 % and no attackers, and smaller ones whose habits are drawn from wider. Neither trees
nor nulls were fitted on them. ``--check N`` holds as many further worlds out, and prints what the list does in them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console

from pipeline.classes.calibration import Survival
from pipeline.detectors.fdr import q_values
from pipeline.detectors.forest.detector import ForestDetector
from pipeline.detectors.forest.model import FOREST_FILE, Forest
from pipeline.evaluate.worlds import EvaluationSettings
from pipeline.signals import SignalTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.fit.labelled import LabelledWorld, WorldPlan

WORLD: tuple[tuple[float, float | None], ...] = (
    *((0.01, None), (0.0, None), (0.05, None), (0.0, 0.3)),
    *((0.01, None), (0.0, None), (0.02, 0.6)),
    *((0.01, None), (0.0, None), (0.05, None), (0.0, 1.0)),
    *((0.01, None), (0.0, None), (0.02, 0.0)),
)
"""Share of attackers and how tame the habits are (None: the simulator's), world after world: what is promised at one base
rate has to hold at the others."""

WORLDS = 18
ACCOUNTS = 3000
"""Of a whole world, with those that have too few records to be judged."""

FIRST_SEED = 700_000
MARGIN = 2.0
"""What p-values are multiplied by. Right on average over worlds, they are two times too small in one of six: a lake has one
draw of that, and where few attack a list of five per cent has no room for it."""

LEVELS = (0.1, 0.01, 0.001)


def plans(count: int, first_seed: int, data: Path | None, accounts: int) -> list[WorldPlan]:
    """Worlds to calibrate on; those with other habits have half as many accounts."""
    from pipeline.fit.labelled import WorldPlan

    found = []
    for number in range(count):
        share, tameness = WORLD[number % len(WORLD)]
        settings = EvaluationSettings(
            accounts=accounts if tameness is None else accounts // 2,
            seed=first_seed + number,
            attack_share=share,
            data=data,
        )
        found.append(WorldPlan(settings, tameness))
    return found


def judged(forest: Forest, world: LabelledWorld) -> NDArray[np.float64]:
    """p-values of a world's accounts by its own reference, as a scoring run gives them; NaN where nothing is said."""
    table = SignalTable(
        np.array([f"{i:06d}" for i in range(len(world))], object), world.records, world.values
    )
    detector = ForestDetector(forest)
    return detector.judge(table, detector.reference("lake", table)).p_value


def calibrated(forest: Forest, worlds: Iterable[tuple[Forest, LabelledWorld]]) -> Forest:
    """The forest with a null of what its two p-values say together.

    Parameters
    ----------
    worlds
        Each with the forest to judge it by: this one, or for a world that this one was fitted on one with other trees.
    """
    means = []
    for by, world in worlds:
        mean = judged(replace(by, agreed=None), world)
        means.append(mean[~world.attack & ~np.isnan(mean)])
    evidence = np.asarray(np.round(-np.log(np.concatenate(means)), 9), np.float64)
    return replace(forest, agreed=Survival.fitted(evidence, np.ones(len(evidence))))


def show(forest: Forest, worlds: Sequence[LabelledWorld], fdr: float, console: Console) -> None:
    """Print how benign p-values are spread, and what the list does, by share of attackers."""
    groups: dict[str, list[tuple[LabelledWorld, NDArray[np.float64]]]] = {}
    for world in worlds:
        share = "attacked" if world.attack.any() else "nobody attacks"
        groups.setdefault(share, []).append((world, judged(forest, world)))
    for name, group in groups.items():
        honest = np.concatenate([p[~world.attack & ~np.isnan(p)] for world, p in group])
        sizes = ", ".join(f"{np.mean(honest <= level):.3%} at most {level:g}" for level in LEVELS)
        lists = [(np.nan_to_num(q_values(p), nan=1.0) <= fdr, world.attack) for world, p in group]
        false = [int((listed & ~attack).sum()) for listed, attack in lists]
        shares = [n / max(1, int(listed.sum())) for n, (listed, _) in zip(false, lists, strict=True)]
        found = sum(int((listed & attack).sum()) for listed, attack in lists)
        console.print(
            f"{name}: {len(group)} worlds, {len(honest):,} benign accounts; p-values: {sizes}; found {found:,} of "
            f"{sum(int(attack.sum()) for _, attack in lists):,} attackers; {sum(false)} benign accounts listed in "
            f"{sum(n > 0 for n in false)} worlds, {np.mean(shares):.1%} of a list on average"
        )


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("../shared/data"),
    show_default=True,
    help="Folder with embeddings/<source>.parquet.",
)
@click.option("--worlds", "count", type=click.IntRange(1), default=WORLDS, show_default=True)
@click.option("--first-seed", type=int, default=FIRST_SEED, show_default=True)
@click.option(
    "--accounts", type=click.IntRange(100), default=ACCOUNTS, show_default=True, help="Of most worlds."
)
@click.option(
    "--check", type=click.IntRange(0), default=0, show_default=True, help="Further worlds to judge."
)
@click.option("--fdr", type=click.FloatRange(0, 1), default=0.05, show_default=True)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Keeps worlds as matrices.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--forest",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FOREST_FILE,
    show_default=True,
)
def command(
    data: Path,
    count: int,
    first_seed: int,
    accounts: int,
    check: int,
    fdr: float,
    cache: Path | None,
    workers: int,
    path: Path,
) -> None:
    """Calibrate a fitted forest's p-values on whole worlds, write it, and print how well it holds."""
    from pipeline.cli.progress import Steps
    from pipeline.fit.labelled import worlds

    console = Console(width=110, highlight=False)
    wanted = plans(count + check, first_seed, data, accounts)
    made: list[LabelledWorld] = []
    with Steps("calibrate") as steps:
        for world in worlds(wanted, cache, workers):
            made.append(world)
            steps.report("worlds", len(made), len(wanted))
    forest = Forest.load(path)
    found = on_worlds(forest, made[:count])
    found.save(path)
    console.print(f"{path}: {found.fingerprint}, {path.stat().st_size:,} bytes")
    for title, some in (("calibrated on", made[:count]), ("held out", made[count:])):
        if some:
            console.rule(title, align="left")
            show(found, some, fdr, console)


def on_worlds(forest: Forest, worlds: Sequence[LabelledWorld]) -> Forest:
    """Calibrated on worlds that the forest was not fitted on; their seeds go into the file."""
    found = calibrated(forest, [(forest, world) for world in worlds])
    seeds = [world.seed for world in worlds]
    return replace(found, fitted={**found.fitted, "calibrated_on": seeds, "margin": MARGIN})


if __name__ == "__main__":
    command()
