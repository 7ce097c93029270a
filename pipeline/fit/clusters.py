"""Fit what clusters are found and judged by: ``python -m pipeline.fit.clusters`` writes ``pipeline/data/clusters.json``.

Worlds are evaluation worlds of two sizes. Small ones are rich in what is to be learnt: honest fleets, and campaigns that share
some, all or none of their surroundings (`pipeline.evaluate.groups`), every figure of them drawn anew; one in five sends
no metadata. Whole ones are as a lake is: 3,000 accounts, few of them attacking or none, half of them without fleets. There the
nearest stranger is nearer, and groups of strangers score higher. Pairs are learnt from
half of the worlds and groups found by them in the other half, and the other way round; the shipped curves of pairs are
those of all worlds. The scores of the whole worlds' benign groups, each by trees that did not see its world, are the null
that p-values are read from.
"""

from __future__ import annotations

import collections
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from scipy.stats import rankdata

from pipeline.backend import get_backend
from pipeline.clusters.candidates import candidate_pairs
from pipeline.clusters.curves import Curves, fingerprint
from pipeline.clusters.find import find_clusters, group_columns
from pipeline.clusters.judge import JUDGED, group_p_values, judged_numbers, sum_ranks
from pipeline.clusters.models import FILE, GroupNull, GroupTrees
from pipeline.clusters.pairs import PAIR_SIGNALS, PairReader
from pipeline.clusters.ties import AccountTies
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.fdr import q_values
from pipeline.engine import Engine
from pipeline.evaluate.groups import AS_DRAWN, GroupSettings, with_groups
from pipeline.evaluate.worlds import EvaluationSettings, build_evaluation_world
from pipeline.fit.curves import fit_curves
from pipeline.fit.forest import boost
from pipeline.parameters import Parameters
from pipeline.signals import SIGNALS, Context, Population, SignalTable, signal_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.clusters.find import Cluster
    from pipeline.evaluate.worlds import Truth
    from pipeline.profiles import Profiles

OUT = Path(__file__).parents[1] / "data" / FILE
ACCOUNTS, RECORDS = 900, 150
WHOLE_ACCOUNTS, WHOLE_RECORDS = 3000, 160
WHOLE_SHARES, WHOLE_FLEETS = (0.0, 0.01, 0.03, 0.06), (0.0, 0.0, 0.1, 0.2)
"""Attacking, and in honest fleets: of whole worlds, by turns."""

NEGATIVES = 0.06
"""Share of the pairs of different operators that pairs are learnt from."""

MOST_PAIRS = 40
"""A group's pairs weigh together as much as so many: a large group is still one group."""

FEWEST_MEMBERS = 5
"""Of a campaign that counts."""

CAMPAIGN_WEIGHT = 3.0
FOLDS = 5
TREES: dict[str, Any] = {
    "max_depth": 2,
    "n_estimators": 200,
    "learning_rate": 0.05,
    "subsample": 0.5,
    "max_features": 0.3,
    "min_samples_leaf": 8,
}


@dataclass(frozen=True, slots=True)
class ClusterWorld:
    """What is known of one world: profiles, ties, payments; who is what; which group each account is in ("": none)."""

    profiles: Profiles
    ties: AccountTies
    payments: dict[str, list[str]]
    truth: dict[str, Truth]
    group: NDArray[np.object_]
    shared: dict[str, tuple[str, ...]]
    metadata: bool


def fit_settings(seed: int, data: Path) -> tuple[EvaluationSettings, GroupSettings]:
    """Settings of the world with this seed."""
    rng = random.Random(seed)  # noqa: S311 - traffic, not secrets
    hydras = rng.random() < 0.65
    share = rng.choice((0.0, 0.06, 0.12, 0.16)) if hydras else rng.choice((0.03, 0.06, 0.1))
    metadata = rng.random() < 0.8
    fleets = rng.choice((0.08, 0.15, 0.22))
    settings = EvaluationSettings(
        accounts=ACCOUNTS,
        records=RECORDS,
        seed=seed,
        attack_share=share,
        attacks=("hydra", "hydra_covered") if hydras else (),
        metadata=metadata,
        data=data,
    )
    return settings, GroupSettings(seed=1, fleet_share=fleets)


def whole_settings(seed: int, data: Path) -> tuple[EvaluationSettings, GroupSettings]:
    """Settings of the whole world with this seed: where it has no fleets, campaigns are as `evaluate` draws them, too."""
    settings = EvaluationSettings(
        accounts=WHOLE_ACCOUNTS,
        records=WHOLE_RECORDS,
        seed=seed,
        attack_share=WHOLE_SHARES[seed % len(WHOLE_SHARES)],
        data=data,
    )
    fleets = WHOLE_FLEETS[seed // len(WHOLE_SHARES) % len(WHOLE_FLEETS)]
    return settings, GroupSettings(seed=1, fleet_share=fleets) if fleets else AS_DRAWN


def cluster_world(settings: EvaluationSettings, groups: GroupSettings) -> ClusterWorld:
    """Generate a world and read what clusters need of it."""
    grouped = with_groups(build_evaluation_world(settings), groups)
    table = pa.concat_tables(list(grouped.world.tables()))
    windows = Engine(Parameters.default(), get_backend("numpy")).profiles(table)
    profiles = windows.by_account()
    group = np.array([grouped.group.get(name, "") for name in profiles.account_id], object)
    return ClusterWorld(
        profiles,
        AccountTies.of(windows),
        _payments(table),
        {each.account_id: each for each in grouped.world.truth},
        group,
        grouped.shared,
        settings.metadata,
    )


def _payments(table: pa.Table) -> dict[str, list[str]]:
    table = table.select(["account_id", "payment_id"])
    table = (
        table.filter(pc.is_valid(table["payment_id"])).group_by(["account_id", "payment_id"]).aggregate([])
    )
    found: dict[str, list[str]] = {}
    for account, payment in zip(
        table["account_id"].to_pylist(), table["payment_id"].to_pylist(), strict=True
    ):
        found.setdefault(account, []).append(payment)
    return {account: sorted(each) for account, each in found.items()}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of one world to learn from: signals, whether they have one operator, weights."""

    numbers: dict[str, NDArray[np.float64]]
    target: NDArray[np.bool_]
    weight: NDArray[np.float64]


def pairs_of(world: ClusterWorld, seed: int) -> Pairs:
    """All pairs of one operator among the candidates, and some of the others."""
    reader = PairReader(world.ties, world.payments)
    one, two = candidate_pairs(reader)
    same = (world.group[one] == world.group[two]) & (world.group[one] != "")
    kept = same | (np.random.default_rng(seed).random(len(same)) < NEGATIVES)
    one, two, same = one[kept], two[kept], same[kept]
    size = collections.Counter(world.group[one[same]])
    weight = np.full(len(same), 0.1)
    for i in np.flatnonzero(same):
        name = str(world.group[one[i]])
        campaign = CAMPAIGN_WEIGHT if not name.startswith("fleet") else 1.0
        weight[i] = 0.1 * campaign * min(1.0, MOST_PAIRS / size[world.group[one[i]]])
    return Pairs(reader.signals(one, two), same, weight)


def fit_pairs(parts: Sequence[Pairs]) -> Curves:
    """Curves of pairs: log odds among all candidates, as only `NEGATIVES` of the others were learnt from."""
    found = fit_curves(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in PAIR_SIGNALS},
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.weight for part in parts]),
        knots=5,
        penalty=0.3,
    )
    return replace(found, intercept=round(found.intercept + float(np.log(NEGATIVES)), 4))


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups found in one world, their numbers, and the share of members that attack."""

    clusters: list[Cluster]
    numbers: dict[str, NDArray[np.float64]]
    attack: NDArray[np.float64]


def groups_of(world: ClusterWorld, model: Curves) -> Groups:
    """Groups found in a world by a model of pairs."""
    clusters = find_clusters(world.ties, world.payments, model=model)
    context = Context(Population.of(world.profiles))
    lake = signal_table(world.profiles.take(world.profiles.records >= MIN_RECORDS), context)
    sums = [
        signal_table(world.profiles.of_accounts(each.members).total(each.cluster_id), context)
        for each in clusters
    ]
    numbers = group_columns(clusters) | sum_ranks(SignalTable.joined(sums, list(SIGNALS)), lake)
    attack = np.array(
        [np.mean([world.truth[name].attack for name in each.members]) for each in clusters], np.float64
    )
    return Groups(clusters, numbers, attack)


def fit_groups(parts: Sequence[Groups]) -> GroupTrees:
    """Trees of groups; attacking and benign ones weigh the same in all."""
    attack = np.concatenate([part.attack for part in parts]) >= 0.5
    numbers = judged_numbers(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers}
    )
    weight = np.where(attack, 0.5 / max(attack.mean(), 1e-9), 0.5 / max(1 - attack.mean(), 1e-9))
    return GroupTrees(JUDGED, boost(GroupTrees.matrix(JUDGED, numbers), attack, weight, 1, **TREES))


def cross_scores(parts: Sequence[Groups]) -> list[NDArray[np.float64]]:
    """Scores of each world's groups by trees that did not see the world."""
    out: list[NDArray[np.float64]] = [np.empty(0)] * len(parts)
    for fold in range(FOLDS):
        model = fit_groups([part for i, part in enumerate(parts) if i % FOLDS != fold])
        for i in range(fold, len(parts), FOLDS):
            out[i] = model.score(judged_numbers(parts[i].numbers)) if parts[i].clusters else np.empty(0)
    return out


def figures(
    worlds: Sequence[ClusterWorld], seeds: Sequence[int], whole: int, report: Console
) -> tuple[dict[str, Any], list[Groups], list[NDArray[np.float64]]]:
    """Everything that ships, the groups it was fitted on and their cross-fitted scores.

    Parameters
    ----------
    whole
        So many of the worlds, the last ones, are whole ones: their benign groups are the null.
    """
    pairs = []
    for world, seed in zip(worlds, seeds, strict=True):
        pairs.append(pairs_of(world, seed))
    report.print(
        f"pairs: {sum(len(each.target) for each in pairs)}, {sum(int(each.target.sum()) for each in pairs)} of one operator"
    )
    halves = [fit_pairs(pairs[side::2]) for side in (0, 1)]
    curves = fit_pairs(pairs)
    found = [groups_of(world, halves[1 - i % 2]) for i, world in enumerate(worlds)]
    scores = cross_scores(found)
    null = benign_groups(found[len(found) - whole :], scores[len(found) - whole :])
    value: dict[str, Any] = {
        "pairs": curves.to_json(),
        "groups": fit_groups(found).to_json(),
        "null": null.to_json(),
        "worlds": {
            "first_seed": int(seeds[0]),
            "count": len(seeds) - whole,
            "accounts": ACCOUNTS,
            "records": RECORDS,
            "whole": {
                "first_seed": int(seeds[len(seeds) - whole]),
                "count": whole,
                "accounts": WHOLE_ACCOUNTS,
                "records": WHOLE_RECORDS,
            },
        },
    }
    value["fingerprint"] = fingerprint(value)
    return value, found, scores


def benign_groups(found: Sequence[Groups], scores: Sequence[NDArray[np.float64]]) -> GroupNull:
    """The groups less than half of whose members attack, by their scores."""
    benign = np.concatenate([each.attack for each in found]) < 0.5
    likeness = np.concatenate([each.numbers["likeness"] for each in found])
    score = np.concatenate(scores)
    order = np.argsort(score[benign], kind="stable")
    return GroupNull(likeness[benign][order], score[benign][order])


def show(
    worlds: Sequence[ClusterWorld],
    found: Sequence[Groups],
    scores: Sequence[NDArray[np.float64]],
    null: GroupNull,
    console: Console,
    fdr: float = 0.05,
) -> None:
    """What was found, by pair curves and trees that did not see the world it was found in.

    A campaign counts from five members on and is found if a fifth of it is in alerted groups.

    Parameters
    ----------
    null
        What p-values are read from.
    """
    attack = np.concatenate([each.attack for each in found]) >= 0.5
    score = np.concatenate(scores)
    below = rankdata(score)[attack].sum() - attack.sum() * (attack.sum() + 1) / 2
    console.print(
        f"groups: {len(attack)}, {int(attack.sum())} attack, area under the curve {below / max(1, attack.sum() * (~attack).sum()):.3f}"
    )
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    there: collections.Counter[str] = collections.Counter()
    accused: collections.Counter[str] = collections.Counter()
    alerts, wrong, free, free_accusing = 0, 0, 0, 0
    false_shares: list[float] = []
    for world, groups, mine in zip(worlds, found, scores, strict=True):
        listed = q_values(group_p_values(mine, groups.numbers["likeness"], null)) <= fdr
        alerts += int(listed.sum())
        false = int((listed & (groups.attack < 0.5)).sum())
        wrong += false
        false_shares.append(false / max(1, int(listed.sum())))
        grouped = {name for each in groups.clusters for name in each.members}
        caught = {
            name
            for each, there in zip(groups.clusters, listed, strict=True)
            if there
            for name in each.members
        }
        campaigns: dict[str, list[str]] = {}
        for name, who in world.truth.items():
            if who.campaign:
                campaigns.setdefault(who.campaign, []).append(name)
            if not who.attack:
                there[who.kind] += 1
                accused[who.kind] += name in caught
        free += not campaigns
        free_accusing += not campaigns and bool(listed.any())
        for campaign, members in campaigns.items():
            if len(members) < FEWEST_MEMBERS:
                continue
            sort = "without metadata"
            if world.metadata:
                sort = "share some surroundings" if world.shared[campaign] else "share none"
            count = counts[sort]
            count["campaigns"] += 1
            count["found"] += sum(name in caught for name in members) >= len(members) / 5
            count["accounts"] += len(members)
            count["grouped"] += sum(name in grouped for name in members)
            count["alerted"] += sum(name in caught for name in members)
    console.print(
        f"alerted at {fdr:.0%}: {alerts}, {wrong} of them benign; mean over worlds {np.mean(false_shares):.1%}"
    )
    console.print(f"worlds without a campaign: {free}, {free_accusing} with an alert")
    for sort, count in sorted(counts.items()):
        console.print(
            f"{sort}: campaigns found {count['found']} of {count['campaigns']}; accounts {count['accounts']}, "
            f"grouped {count['grouped']}, in alerted groups {count['alerted']}"
        )
    everybody, wrongly = sum(there.values()), sum(accused.values())
    console.print(f"benign accounts in alerted groups: {wrongly} of {everybody} ({wrongly / everybody:.2%})")
    for kind, count_there in sorted(there.items(), key=lambda item: -accused[item[0]] / item[1]):
        console.print(
            f"  {kind}: {accused[kind]} of {count_there} ({accused[kind] / count_there:.1%})", highlight=False
        )


def write(value: Mapping[str, Any], path: Path) -> None:
    """The shipped file."""
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def make(job: tuple[int, bool], data: Path) -> ClusterWorld:
    """The world with this seed; a whole one or a small one."""
    seed, whole = job
    return cluster_world(*(whole_settings if whole else fit_settings)(seed, data))


@click.command()
@click.option("--worlds", default=40, show_default=True)
@click.option("--first-seed", default=510_000, show_default=True)
@click.option("--whole-worlds", default=48, show_default=True, type=click.IntRange(1))
@click.option("--whole-first-seed", default=530_000, show_default=True)
@click.option("--data", default=Path("../shared/data"), show_default=True, type=click.Path(path_type=Path))
@click.option("--out", default=OUT, show_default=True, type=click.Path(path_type=Path))
@click.option("--processes", default=2, show_default=True)
def main(
    worlds: int,
    first_seed: int,
    whole_worlds: int,
    whole_first_seed: int,
    data: Path,
    out: Path,
    processes: int,
) -> None:
    """Fit and write."""
    console = Console()
    jobs = [(seed, False) for seed in range(first_seed, first_seed + worlds)]
    jobs += [(seed, True) for seed in range(whole_first_seed, whole_first_seed + whole_worlds)]
    made = []
    with ProcessPoolExecutor(processes) as pool:
        for world in pool.map(partial(make, data=data), jobs):
            made.append(world)
            console.print(f"world {len(made)} of {len(jobs)}")
    value, found, scores = figures(made, [seed for seed, _ in jobs], whole_worlds, console)
    null = benign_groups(found[worlds:], scores[worlds:])
    for name, part in (("small worlds", slice(0, worlds)), ("whole worlds", slice(worlds, None))):
        console.print(f"\n{name}")
        show(made[part], found[part], scores[part], null, console)
    write(value, out)
    console.print(f"{out}: {value['fingerprint']}")


if __name__ == "__main__":
    main()
