"""What parts say about diluted harvests: ``python -m pipeline.fit.part_power``, once more with ``--bare``.

Evaluation worlds in which every attacker is diluted. Printed are, per part signal, the area under the curve of its
mid-rank (diluted against all benign accounts, resellers, research); how much of the harvest the part found holds; and
what sequence signals tell together, without parts and with them: ridge regression on mid-ranks and their squares, each
world left out in turn, recall at 1 % of all benign accounts and at 1 % of every class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from pipeline.backend import get_backend
from pipeline.evaluate.worlds import END, EvaluationSettings, build_evaluation_world, without_metadata
from pipeline.fit.signal_power import area, mid_ranks
from pipeline.parameters import Parameters
from pipeline.signals.sequence import COLUMNS, SEQUENCE_SIGNALS, part_of, sequences
from pipeline.simulate.kinds import ATTACKS
from pipeline.simulate.records import Traffic
from pipeline.simulate.timeline import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MIN_RECORDS = 50
RIDGE = 20.0
AGAINST = (None, "reseller", "researcher", "chat", "support_bot", "batch_job")
PART = tuple(name for name in SEQUENCE_SIGNALS if name.startswith("part_"))


@dataclass(frozen=True, slots=True)
class PartWorld:
    """Mid-ranks of one world's accounts, their kinds, who attacks; precision and recall of the part found."""

    ranks: dict[str, Numbers]
    kind: NDArray[np.object_]
    attack: NDArray[np.bool_]
    precision: Numbers
    recall: Numbers


def part_world(settings: EvaluationSettings, *, bare: bool) -> PartWorld:
    """Generate a world and read the sequence signals of its accounts with at least 50 records."""
    world = build_evaluation_world(settings)
    traffic = Traffic(world.world, END)
    tables, owners = [], []
    for moments in batches(world.world, traffic.start_hour, traffic.batch_rows):
        made = traffic.table(moments)
        tables.append(without_metadata(made) if bare else made)
        owners.append(moments.stream)
    table, stream = pa.concat_tables(tables), np.concatenate(owners)
    truth = {each.account_id: each for each in world.truth}
    wanted = [name for name, each in truth.items() if each.records >= MIN_RECORDS]
    keep = pc.is_in(table["account_id"], pa.array(wanted))
    table, stream = table.filter(keep), stream[keep.to_numpy()]
    order = pc.sort_indices(table, [(c, "ascending") for c in ("account_id", "event_time", "request_id")])
    table, stream = table.take(order).select(list(COLUMNS)), stream[order.to_numpy()]
    lists = {name for kind in ATTACKS.values() for name in kind.main}
    bad = np.array([each.kind in lists for each in world.world.streams])
    found: dict[str, list[float]] = {name: [] for name in SEQUENCE_SIGNALS}
    names, precision, recall, low = [], [], [], 0
    for name, records in sequences(table, Parameters.default(), get_backend("numpy")):
        low += truth[name].records
        mine = bad[stream[low - len(records) : low]]
        part = part_of(records).rows
        hit = float((part & mine).sum())
        names.append(name)
        precision.append(hit / part.sum())
        recall.append(hit / mine.sum() if mine.any() else float("nan"))
        for signal_name, signal in SEQUENCE_SIGNALS.items():
            found[signal_name].append(signal.value(records))
    return PartWorld(
        {name: mid_ranks(np.array(values)) for name, values in found.items()},
        np.array([truth[name].kind for name in names], object),
        np.array([truth[name].attack for name in names]),
        np.array(precision),
        np.array(recall),
    )


def together(worlds: Sequence[PartWorld], names: Sequence[str]) -> list[Numbers]:
    """Scores of each world's accounts from the other worlds; diluted and benign accounts weigh the same."""
    designs = []
    for world in worlds:
        ranks = np.stack([np.nan_to_num(world.ranks[name] - 0.5, nan=0.0) for name in names], axis=1)
        x = np.concatenate([ranks, 4 * ranks**2 - 1 / 3], axis=1)
        share = world.attack.mean()
        designs.append((x, np.where(world.attack, 0.5 / share, 0.5 / (1 - share))))
    gram = [(x * weight[:, None]).T @ x for x, weight in designs]
    right = [
        (x * weight[:, None]).T @ np.where(world.attack, 0.5, -0.5)
        for (x, weight), world in zip(designs, worlds, strict=True)
    ]
    out = []
    for i, (x, _) in enumerate(designs):
        others = [j for j in range(len(worlds)) if j != i]
        left = np.sum([gram[j] for j in others], axis=0) + RIDGE * len(others) * np.eye(x.shape[1])
        out.append(x @ np.linalg.solve(left, np.sum([right[j] for j in others], axis=0)))
    return out


def report(console: Console, worlds: Sequence[PartWorld]) -> None:
    """The tables."""
    kind = np.concatenate([world.kind for world in worlds])
    attack = np.concatenate([world.attack for world in worlds])
    console.print(
        f"{len(kind)} accounts, {int(attack.sum())} diluted, {int((kind == 'reseller').sum())} resellers"
    )
    console.print("\n| signal | " + " | ".join(str(name or "all benign") for name in AGAINST) + " |")
    console.print("| --- " * (1 + len(AGAINST)) + "|")
    for name in PART:
        ranks = np.concatenate([world.ranks[name] for world in worlds])
        cells = [
            area(ranks[attack], ranks[~attack & ((kind == other) | (other is None))]) for other in AGAINST
        ]
        console.print(f"| {name} | " + " | ".join("-" if np.isnan(c) else f"{c:.2f}" for c in cells) + " |")
    diluted = sorted(set(kind[attack]))
    precision = np.concatenate([world.precision for world in worlds])
    recall = np.concatenate([world.recall for world in worlds])
    console.print("\n| | accounts | precision of the part | recall |\n| --- | --- | --- | --- |")
    for name in diluted:
        mine = kind == name
        console.print(f"| {name} | {mine.sum()} | {precision[mine].mean():.2f} | {recall[mine].mean():.2f} |")
    console.print("\n| signals | area: all | area: resellers | at 1 % of all | at 1 % of every class |")
    console.print("| --- | --- | --- | --- | --- |")
    sets = {
        "sequence without parts": [name for name in SEQUENCE_SIGNALS if name not in PART],
        "sequence with parts": list(SEQUENCE_SIGNALS),
        "without parts and dependence": [
            name
            for name in SEQUENCE_SIGNALS
            if name not in PART and not name.endswith("_dependence") and name != "scan_excess"
        ],
        "with parts, without dependence": [
            name for name in SEQUENCE_SIGNALS if not name.endswith("_dependence") and name != "scan_excess"
        ],
    }
    for title, names in sets.items():
        # Ranks make worlds comparable; a threshold is shared by all.
        score = np.concatenate([mid_ranks(each) for each in together(worlds, names)])
        benign = ~attack
        limits = {
            name: np.sort(score[benign & (kind == name)])[::-1][int(0.01 * (benign & (kind == name)).sum())]
            for name in set(kind[benign])
        }
        found = [
            ", ".join(f"{(score[kind == name] > limit).mean():.2f}" for name in diluted)
            for limit in (np.quantile(score[benign], 0.99), max(limits.values()))
        ]
        areas = [area(score[attack], score[benign & ((kind == x) | (x is None))]) for x in (None, "reseller")]
        console.print(f"| {title} | {areas[0]:.3f} | {areas[1]:.3f} | {found[0]} | {found[1]} |")


@click.command()
@click.option("--worlds", type=click.IntRange(2), default=4, show_default=True)
@click.option("--first-seed", type=int, default=71_000, show_default=True)
@click.option("--accounts", type=click.IntRange(50), default=400, show_default=True)
@click.option("--bare", is_flag=True, help="Only the required fields are sent.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=None, help="Folder with embeddings of prompts."
)
def command(worlds: int, first_seed: int, accounts: int, bare: bool, data: Path | None) -> None:
    """Print the power of part signals against diluted harvests."""
    done = [
        part_world(
            EvaluationSettings(
                accounts=accounts, records=220, seed=seed, attack_share=0.15, attacks=("diluted",), data=data
            ),
            bare=bare,
        )
        for seed in range(first_seed, first_seed + worlds)
    ]
    report(Console(width=200, highlight=False, soft_wrap=True), done)


if __name__ == "__main__":
    command()
