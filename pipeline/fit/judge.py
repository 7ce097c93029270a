"""What the shipped detector finds, and whom it accuses, on simulated worlds that it was not fitted on.

``python -m pipeline.fit.judge [--worlds 10] [--first-seed 80000] [--fdr 0.05]`` prints detection per attack kind, false
positives per benign kind, the realised false discovery proportion, calibration of benign p-values, and how many attackers
stand at the top of the queue. The worlds are this project's own simulator's: traffic of other shapes will do worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console

from pipeline.detectors.robust import LAKE, RobustDetector
from pipeline.fit.reference import JUDGING, Split, report
from pipeline.fit.worlds import simulate_signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.fit.worlds import WorldSignals

TOP_SHARES = (0.01, 0.02, 0.05)
LEVELS = (0.05, 0.01, 0.001)


def queue_and_calibration(console: Console, detector: RobustDetector, worlds: Sequence[WorldSignals]) -> None:
    """Print the queue's recall and the sizes of benign p-values."""
    found = dict.fromkeys(TOP_SHARES, 0)
    attackers = 0
    benign_p: list[float] = []
    for world in worlds:
        reference = detector.reference(LAKE, world.whole, world.population)
        judgement = detector.judge(world.whole, reference)
        attack = world.attacking(world.whole)
        attackers += int(attack.sum())
        order = np.argsort(-np.nan_to_num(judgement.score, nan=-np.inf), kind="stable")
        for share in TOP_SHARES:
            found[share] += int(attack[order[: max(1, round(share * len(order)))]].sum())
        p = judgement.p_value[~attack]
        benign_p += p[~np.isnan(p)].tolist()
    shares = ", ".join(f"{found[share] / max(1, attackers):.0%} in {share:.0%}" for share in TOP_SHARES)
    console.print(
        f"attackers at the top of the queue by score: {shares} of the accounts ({attackers} attackers)"
    )
    sizes = ", ".join(f"{np.mean(np.array(benign_p) <= level):.2%} at most {level}" for level in LEVELS)
    console.print(f"p-values of {len(benign_p):,} benign accounts: {sizes}")


@click.command()
@click.option("--worlds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--first-seed", type=int, default=80_000, show_default=True)
@click.option("--fdr", type=click.FloatRange(0, 1), default=0.05, show_default=True)
def command(worlds: int, first_seed: int, fdr: float) -> None:
    """Judge the shipped detector on fresh worlds."""
    console = Console(width=100, highlight=False)
    detector = RobustDetector()
    chosen = []
    for settings in Split(first_seed, worlds).settings(JUDGING):
        chosen.append(simulate_signals(settings, looks=()))
        console.print(
            f"world {settings.seed}: {settings.records:,} records, {settings.accounts} accounts, {settings.attack_share:.1%} attacking"
        )
    report(console, detector, chosen, fdr)
    queue_and_calibration(console, detector, chosen)


if __name__ == "__main__":
    command()
