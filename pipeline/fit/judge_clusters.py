"""What clusters find, and whom they accuse, on worlds that they were not fitted on: ``python -m pipeline.fit.judge_clusters``.

For every share of attackers and every seed four worlds: as `evaluate` draws them, with honest fleets and campaigns that
share less (`pipeline.evaluate.groups`), and each of the two without metadata. A campaign counts from five members on,
and is found if a fifth of it is in alerted groups; a group is benign if more than half of its members are.
"""

from __future__ import annotations

import collections
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.clusters.find import find_clusters
from pipeline.clusters.judge import judge_clusters
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.fdr import q_values
from pipeline.evaluate.groups import AS_DRAWN, GroupSettings
from pipeline.evaluate.worlds import EvaluationSettings
from pipeline.fit.clusters import ClusterWorld, cluster_world
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table

if TYPE_CHECKING:
    from collections.abc import Iterable

FEWEST = 5
SETS = ("as evaluate draws", "with fleets", "no metadata", "with fleets, no metadata")


@dataclass(slots=True)
class Tally:
    """Counts over worlds: ``all`` by what is counted, ``there`` and ``accused`` benign accounts by kind."""

    all: collections.Counter[str] = field(default_factory=collections.Counter)
    there: collections.Counter[str] = field(default_factory=collections.Counter)
    accused: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, other: Tally) -> None:
        """Add another's counts."""
        self.all += other.all
        self.there += other.there
        self.accused += other.accused


def judge_world(world: ClusterWorld, fdr: float) -> Tally:
    """Find and judge the groups of a world."""
    clusters = find_clusters(world.ties, world.payments)
    context = Context(Population.of(world.profiles))
    lake = signal_table(world.profiles.take(world.profiles.records >= MIN_RECORDS), context)
    sums = SignalTable.joined(
        [
            signal_table(world.profiles.of_accounts(each.members).total(each.cluster_id), context)
            for each in clusters
        ],
        list(SIGNALS),
    )
    q = q_values(judge_clusters(clusters, sums, lake).p_value)
    tally = Tally()
    count = tally.all
    count["worlds"] += 1
    count["groups"] += len(clusters)
    caught: set[str] = set()
    grouped: set[str] = set()
    for number, each in enumerate(clusters):
        attack = float(np.mean([world.truth[name].attack for name in each.members]))
        grouped |= set(each.members)
        count["attacking groups"] += attack >= 0.5
        if q[number] <= fdr:
            caught |= set(each.members)
            count["alerted"] += 1
            count["alerted, benign"] += attack < 0.5
    count["worlds with a benign group alerted"] += count["alerted, benign"] > 0
    campaigns: dict[str, list[str]] = {}
    for name, who in world.truth.items():
        if who.campaign:
            campaigns.setdefault(who.campaign, []).append(name)
        if not who.attack:
            tally.there[who.kind] += 1
            tally.accused[who.kind] += name in caught
    for campaign, members in campaigns.items():
        if len(members) < FEWEST:
            continue
        kinds = [f"{sort}, " for sort in ("campaigns", "alone" if not world.shared[campaign] else "tied")]
        thin = np.median([world.truth[name].records for name in members]) < MIN_RECORDS
        for kind in (*kinds, *(["thin, "] if thin else [])):
            count[kind + "all"] += 1
            count[kind + "found"] += sum(name in caught for name in members) >= len(members) / 5
            count[kind + "accounts"] += len(members)
            count[kind + "accounts grouped"] += sum(name in grouped for name in members)
            count[kind + "accounts caught"] += sum(name in caught for name in members)
    return tally


def run(job: tuple[str, float, int], accounts: int, data: Path, fdr: float) -> tuple[str, float, Tally]:
    """One world."""
    sort, share, seed = job
    settings = EvaluationSettings(
        accounts=accounts, seed=seed, attack_share=share, metadata="no metadata" not in sort, data=data
    )
    groups = GroupSettings(seed=2) if "fleets" in sort else AS_DRAWN
    return sort, share, judge_world(cluster_world(settings, groups), fdr)


def show(results: Iterable[tuple[str, float, Tally]], console: Console) -> None:
    """Print tables."""
    by: dict[tuple[str, str], Tally] = {}
    for sort, share, tally in results:
        by.setdefault((sort, "attackers" if share else "none"), Tally()).add(tally)
    for (sort, attackers), tally in sorted(by.items()):
        console.print(f"\n{sort}; {'with' if attackers == 'attackers' else 'without'} attackers")
        console.print(", ".join(f"{name} {number}" for name, number in sorted(tally.all.items())))
        table = Table("kind", "accounts", "accused", "%")
        for kind, there in sorted(tally.there.items()):
            table.add_row(kind, str(there), str(tally.accused[kind]), f"{tally.accused[kind] / there:.2%}")
        there, accused = sum(tally.there.values()), sum(tally.accused.values())
        table.add_row("all", str(there), str(accused), f"{accused / max(1, there):.2%}")
        console.print(table)


@click.command()
@click.option("--accounts", default=1500, show_default=True)
@click.option("--seeds", default=2, show_default=True)
@click.option("--first-seed", default=620_000, show_default=True)
@click.option("--shares", default="0,0.03,0.06", show_default=True)
@click.option("--data", default=Path("../shared/data"), show_default=True, type=click.Path(path_type=Path))
@click.option("--fdr", default=0.05, show_default=True)
@click.option("--processes", default=2, show_default=True)
def main(
    accounts: int, seeds: int, first_seed: int, shares: str, data: Path, fdr: float, processes: int
) -> None:
    """Judge worlds and print what was found."""
    console = Console(width=160)
    jobs = [
        (sort, float(share), first_seed + 100 * i + seed)
        for sort in SETS
        for i, share in enumerate(shares.split(","))
        for seed in range(seeds)
    ]
    with ProcessPoolExecutor(processes) as pool:
        results = list(pool.map(partial(run, accounts=accounts, data=data, fdr=fdr), jobs))
    show(results, console)


if __name__ == "__main__":
    main()
