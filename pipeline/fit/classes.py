"""Find the shipped benign classes: ``python -m pipeline.fit.classes``.

Draws randomised worlds (`pipeline.fit.labelled`: any source in any role, habits and shares drawn anew, some without
metadata), takes their benign accounts as mid-ranks among themselves, finds classes without looking at the kinds, names
them by form, and writes ``pipeline/data/classes.json``. Prints, for worlds that were not used, which true kinds each
class holds, and with ``--sweep`` how likely those worlds are under other numbers of classes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.classes.classes import CLASSES_FILE, Classes, describe
from pipeline.classes.mixture import find
from pipeline.classes.names import name_classes
from pipeline.classes.space import SPACE, normal_scores
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.reference import ClassReference, Distribution
from pipeline.fit.labelled import LabelledWorld, plans, without, worlds
from pipeline.signals import SignalTable
from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CLASSES = 12
STARTS = 6
HELD_OUT = 1000
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts of several worlds: signals, their ranks in their own world, and what they really are."""

    values: SignalTable
    ranks: SignalTable
    kind: NDArray[np.object_]

    @classmethod
    def benign(cls, several: Sequence[LabelledWorld]) -> Accounts:
        """The benign accounts, ranked among themselves."""
        return cls.of([without(world, ~world.attack) for world in several])

    @classmethod
    def of(cls, several: Sequence[LabelledWorld]) -> Accounts:
        """All accounts, ranked in their world."""
        names = [name for name in EVERY if all(name in world.values for world in several)]
        account = np.array([f"{w.seed}-{i:05d}" for w in several for i in range(len(w))], object)
        records = np.concatenate([world.records for world in several])
        values = {name: np.concatenate([world.values[name] for world in several]) for name in names}
        each = [world.ranks(names) for world in several]
        ranks = {name: np.concatenate([one[name] for one in each]) for name in names}
        return cls(
            SignalTable(account, records, values),
            SignalTable(account, records, ranks),
            np.concatenate([world.kind for world in several]),
        )

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Accounts:
        """Some of them."""
        return Accounts(self.values.take(rows), self.ranks.take(rows), self.kind[rows])


def fit_classes(accounts: Accounts, classes: int, seed: int, starts: int = STARTS) -> Classes:
    """Find, name and describe classes."""
    space = tuple(sorted(SPACE))
    rows = normal_scores(accounts.ranks.columns, space, len(accounts.ranks))
    mixture = find(rows, classes, seed, starts=starts)
    names = name_classes(mixture.centre, space)
    found = describe(
        accounts.values, mixture.distances(rows), mixture.memberships(rows), mixture, names, space, {}
    )
    return Classes({name: _shortened(each) for name, each in sorted(found.items())}, {})


def _shortened(each: ClassReference) -> ClassReference:
    """With figures of few digits, as they ship; nobody of a lake is behind it yet."""
    geometry = {
        name: (round(pair[0], DIGITS), round(pair[1], DIGITS)) for name, pair in each.geometry.items()
    }
    signals = {name: _rounded(one) for name, one in each.signals.items()}
    return replace(
        each,
        members=0.0,
        share=round(each.share, 5),
        geometry=geometry,
        fit=_rounded(each.fit),
        signals=signals,
    )


def _rounded(distribution: Distribution) -> Distribution:
    values = np.array([float(f"{value:.{DIGITS}g}") for value in distribution.quantiles])
    return Distribution(values, distribution.accounts, distribution.missing)


def show(console: Console, classes: Classes, accounts: Accounts) -> None:
    """Print how true kinds spread over the classes."""
    best = np.array(classes.best(classes.assign(accounts.ranks)), object)
    kinds = sorted(set(accounts.kind))
    shown = Table(
        title=f"true kinds of {len(best)} benign accounts of worlds that were not used, by found class"
    )
    for heading in ("class", "share", *kinds):
        shown.add_column(heading)
    for name, each in zip(classes.names, classes.each, strict=True):
        counts = [int(((best == name) & (accounts.kind == kind)).sum()) for kind in kinds]
        shown.add_row(name, f"{each.share:.3f}", *(str(count or "") for count in counts))
    console.print(shown)


@click.command()
@click.option("--worlds", "count", default=12, show_default=True)
@click.option("--held-out", default=6, show_default=True, help="Worlds to look at, not used.")
@click.option("--accounts", default=900, show_default=True, help="Of a world, about.")
@click.option("--first-seed", default=61_000, show_default=True)
@click.option("--classes", default=CLASSES, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="Keeps worlds between runs.")
@click.option("--workers", default=1, show_default=True)
@click.option("--sweep", is_flag=True, help="Compare numbers of classes.")
@click.option("--output", type=click.Path(path_type=Path), default=CLASSES_FILE)
def command(
    count: int,
    held_out: int,
    accounts: int,
    first_seed: int,
    classes: int,
    data: Path,
    folder: Path | None,
    workers: int,
    sweep: bool,
    output: Path,
) -> None:
    """Find, name and write the shipped benign classes."""
    console = Console()
    training = Accounts.benign(list(worlds(plans(count, first_seed, data, accounts), folder, workers)))
    judging = Accounts.benign(
        list(worlds(plans(held_out, first_seed + HELD_OUT, data, accounts), folder, workers))
    )
    if sweep:
        for number in range(6, 17, 2):
            tried = fit_classes(training, number, first_seed, 2)
            likely = float(tried.mixture.likelihood(tried.scores(judging.ranks)).mean())
            console.print(f"{number} classes: mean log density of accounts that were not used {likely:.3f}")
    found = fit_classes(training, classes, first_seed)
    fitted = {
        "first_seed": first_seed,
        "worlds": count,
        "accounts_per_world": accounts,
        "accounts": len(training.ranks),
        "min_records": MIN_RECORDS,
        "space": list(found.space),
    }
    shipped = Classes(found.references, fitted)
    output.write_text(json.dumps(shipped.to_json(), separators=(",", ":")) + "\n")
    console.print(
        f"{len(shipped)} classes of {len(training.ranks)} accounts, fingerprint {shipped.fingerprint}"
    )
    show(console, shipped, judging)


if __name__ == "__main__":
    command()
