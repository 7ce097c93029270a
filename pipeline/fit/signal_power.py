"""How well each signal alone tells attackers from others: ``python -m pipeline.fit.signal_power``.

Draws worlds, reads every signal in use (`pipeline.signals.every`), turns each into its mid-rank within its world, and prints
the area under the curve (the chance that an attacker ranks above another account) in three comparisons: against all
benign accounts, against specialists, and against research and evaluation. Half of each is a world with the default
roles of the sources and half one with shuffled roles. The worlds are this project's own simulator's: a signal that
tells nothing here may tell something elsewhere, and the other way round.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from scipy.stats import rankdata

from pipeline import readings
from pipeline.account_signals import account_signals, hourly_activity
from pipeline.backend import get_backend
from pipeline.clock import SystemClock
from pipeline.detectors.base import MIN_RECORDS
from pipeline.engine import Engine
from pipeline.fit.worlds import END
from pipeline.parameters import Parameters
from pipeline.signals import SIGNALS
from pipeline.signals.every import EVERY, FAMILY, LAKE, SEQUENCE
from pipeline.simulate.kinds import STREAMS
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray


CLOCK = SystemClock()
LEFT_OUT = {"participation_ratio": (readings.participation_ratio, "effective_rank")}
"""Measured and no signal: what it is of a profile, and the signal that says the same."""

SPECIALISTS = frozenset({"coding_agent", "tutoring", "tool_user", "document_job"})
RESEARCH = frozenset({"researcher", "evaluation_harness"})
HIDDEN = frozenset({"diluted"})
HYDRA = frozenset({"hydra"})
CAREFUL = frozenset({"careful_harvest", "slow_drip", "pivot"})
# One window for everything: only whole accounts are looked at.
_WINDOW_SECONDS = 86_400 * 20_000


@dataclass(frozen=True, slots=True)
class WorldRanks:
    """Mid-ranks in (0, 1) of one world's accounts, NaN without a value; their kinds; who attacks."""

    settings: WorldSettings
    ranks: Mapping[str, NDArray[np.float64]]
    known: Mapping[str, float]
    kind: NDArray[np.object_]
    attack: NDArray[np.bool_]
    seconds: Mapping[str, float]


@contextmanager
def wide_specialists() -> Iterator[None]:
    """Within it, specialists use whole corpora evenly instead of a region: the assumption that flatters most, undone.

    What still tells attackers from such specialists is behaviour: sittings, repeats, clocks.
    """
    kept = {name: STREAMS[name] for name in SPECIALISTS}
    for name, kind in kept.items():
        STREAMS[name] = replace(kind, region=(0, 0), evenness=STREAMS["harvest"].evenness)
    try:
        yield
    finally:
        STREAMS.update(kept)


def power_settings(worlds: int, first_seed: int, accounts: int) -> list[WorldSettings]:
    """Every other world has shuffled roles; a tenth of the accounts attack, so that areas are not all noise."""
    rng = np.random.default_rng([first_seed, worlds])
    return [
        WorldSettings(
            records=int(accounts * rng.uniform(180, 300)),
            accounts=accounts,
            seed=first_seed + i,
            attack_share=0.1,
            days=float(rng.choice([7, 10])),
            randomise=i % 2 == 1,
        )
        for i in range(worlds)
    ]


def mid_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-ranks in (0, 1) among the values that are there.

    Examples
    --------
    >>> mid_ranks(np.array([3.0, np.nan, 1.0, 3.0])).tolist()
    [0.6666666666666666, nan, 0.16666666666666666, 0.6666666666666666]
    """
    known = ~np.isnan(values)
    out = np.full(len(values), np.nan)
    if known.any():
        out[known] = (rankdata(values[known]) - 0.5) / known.sum()
    return out


def area(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """Chance that one of the first ranks above one of the second, ties half; NaN if a side has nothing.

    Examples
    --------
    >>> area(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
    one, two = high[~np.isnan(high)], low[~np.isnan(low)]
    if len(one) == 0 or len(two) == 0:
        return float("nan")
    ranks = rankdata(np.concatenate([one, two]))
    return float((ranks[: len(one)].sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(two)))


def world_ranks(settings: WorldSettings) -> WorldRanks:
    """Generate a world, read every signal of its accounts with at least 50 records."""
    seconds = {}
    started = CLOCK.monotonic()
    world = build_world(settings)
    table = pa.concat_tables(list(Traffic(world, END)))
    labels = {label.account_id: label for label in world.labels}
    table = table.filter(
        pc.is_in(
            table["account_id"],
            pa.array([name for name, label in labels.items() if label.records >= MIN_RECORDS]),
        )
    )
    parameters, backend = Parameters.default(), get_backend("numpy")
    seconds["simulate"] = CLOCK.monotonic() - started
    started = CLOCK.monotonic()
    whole = Engine(parameters, backend, window_seconds=_WINDOW_SECONDS)
    profiles = whole.profiles(table).by_account()
    row = {account: i for i, account in enumerate(profiles.account_id)}
    rows = np.array([row[account] for account in table["account_id"].to_pylist()], np.int64)
    times = table["event_time"].cast(pa.int64()).to_numpy()
    activity = hourly_activity(rows, times, None, len(profiles))
    seconds["profile"] = CLOCK.monotonic() - started
    started = CLOCK.monotonic()
    columns = {
        **account_signals(profiles, activity, table, parameters, backend).columns,
        **{name: value(profiles) for name, (value, _) in LEFT_OUT.items()},
    }
    names = profiles.account_id.tolist()
    seconds["signals"] = CLOCK.monotonic() - started
    return WorldRanks(
        settings,
        {name: mid_ranks(columns[name]) for name in (*EVERY, *LEFT_OUT)},
        {name: float((~np.isnan(columns[name])).mean()) for name in (*EVERY, *LEFT_OUT)},
        np.array([labels[name].kind for name in names], object),
        np.array([labels[name].attack for name in names], bool),
        seconds,
    )


def pooled_area(
    worlds: Sequence[WorldRanks], name: str, high: Iterable[str] | None, low: Iterable[str] | None
) -> float:
    """Mean over worlds of `area`, weighed by attackers; None means all of that side."""
    total, weight = 0.0, 0
    for world in worlds:
        up = world.attack & (True if high is None else np.isin(world.kind, list(high)))
        down = ~world.attack & (True if low is None else np.isin(world.kind, list(low)))
        value = area(world.ranks[name][up], world.ranks[name][down])
        if not np.isnan(value):
            total += value * int(up.sum())
            weight += int(up.sum())
    return total / weight if weight else float("nan")


COMPARISONS: tuple[tuple[str, frozenset[str] | None, frozenset[str] | None], ...] = (
    ("all benign", None, None),
    ("specialists", None, SPECIALISTS),
    ("research, evaluation", None, RESEARCH),
    ("careful: all", CAREFUL, None),
    ("careful: specialists", CAREFUL, SPECIALISTS),
    ("hydra: all", HYDRA, None),
    ("diluted: all", HIDDEN, None),
)


def rows(worlds: Sequence[WorldRanks]) -> list[tuple[str, str, float, list[float]]]:
    """Family, signal, share of accounts with a value, and the areas of `COMPARISONS`."""
    families = (("profile", SIGNALS), ("sequence", SEQUENCE), ("lake", LAKE), ("left out", LEFT_OUT))
    return [
        (
            family,
            name,
            float(np.mean([world.known[name] for world in worlds])),
            [pooled_area(worlds, name, high, low) for _, high, low in COMPARISONS],
        )
        for family, registry in families
        for name in registry
    ]


def correlation(worlds: Sequence[WorldRanks], one: str, other: str) -> float:
    """Mean over worlds of the rank correlation of two signals, over accounts that have both."""
    found = []
    for world in worlds:
        pair = np.stack([world.ranks[one], world.ranks[other]])
        pair = pair[:, ~np.isnan(pair).any(axis=0)]
        found.append(float(np.corrcoef(pair[0], pair[1]).item(1)))
    return float(np.mean(found))


def together(worlds: Sequence[WorldRanks], names: Sequence[str]) -> list[float]:
    """Areas of `COMPARISONS` for a ridge regression on ranks and their squares, each world left out in turn.

    Attackers and the three sorts of benign accounts weigh the same in all. Not a detector: it shows what a family of
    signals adds.
    """
    total, weight = np.zeros(len(COMPARISONS)), np.zeros(len(COMPARISONS))
    designs = [_design(world, names) for world in worlds]
    gram = [(x * w[:, None]).T @ x for x, w, _ in designs]
    right = [(x * w[:, None]).T @ y for x, w, y in designs]
    for i, world in enumerate(worlds):
        others = [j for j in range(len(worlds)) if j != i]
        left = sum((gram[j] for j in others), np.zeros_like(gram[i]))
        target = sum((right[j] for j in others), np.zeros_like(right[i]))
        slope = np.linalg.solve(left + RIDGE * len(others) * np.eye(len(left)), target)
        score = designs[i][0] @ slope
        for place, (_, high, low) in enumerate(COMPARISONS):
            up = world.attack & (True if high is None else np.isin(world.kind, list(high)))
            down = ~world.attack & (True if low is None else np.isin(world.kind, list(low)))
            value = area(score[up], score[down])
            if not np.isnan(value):
                total[place] += value * up.sum()
                weight[place] += up.sum()
    return [float(value) for value in total / np.maximum(weight, 1)]


def _design(
    world: WorldRanks, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    ranks = np.stack([np.nan_to_num(world.ranks[name] - 0.5, nan=0.0) for name in names], axis=1)
    x = np.concatenate([ranks, 4 * ranks**2 - 1 / 3], axis=1)
    sort = np.select(
        [world.attack, np.isin(world.kind, list(SPECIALISTS)), np.isin(world.kind, list(RESEARCH))],
        [0, 1, 2],
        3,
    )
    share = np.bincount(sort, minlength=4) / len(sort)
    weight = np.array([0.5, 1 / 6, 1 / 6, 1 / 6])[sort] / np.maximum(share, 1e-9)[sort]
    y = np.where(world.attack, 0.5, -0.5)
    return x, weight, y


RIDGE = 20.0


def print_report(console: Console, done: Sequence[WorldRanks]) -> None:
    """The tables."""
    titles = " | ".join(title for title, _, _ in COMPARISONS)
    console.print(f"\n| family | signal | known | {titles} |")
    console.print("| --- " * (3 + len(COMPARISONS)) + "|")
    for family, name, known, areas in rows(done):
        cells = " | ".join("-" if np.isnan(value) else f"{value:.2f}" for value in areas)
        console.print(f"| {family} | {name} | {known:.0%} | {cells} |")
    for name, (_, other) in LEFT_OUT.items():
        console.print(
            f"\n{name}, left out: rank correlation with {other} {correlation(done, name, other):.3f}"
        )
    if len(done) < 2:
        return
    sets = {
        "profile": list(SIGNALS),
        "profile, sequence": [*SIGNALS, *SEQUENCE],
        "profile, lake": [*SIGNALS, *LAKE],
        "all": list(EVERY),
        **{
            f"all without {family}": [name for name in EVERY if FAMILY[name] != family]
            for family in dict.fromkeys(FAMILY.values())
        },
    }
    console.print(f"\n| signals together | {titles} |")
    console.print("| --- " * (1 + len(COMPARISONS)) + "|")
    for title, names in sets.items():
        cells = " | ".join(f"{value:.3f}" for value in together(done, names))
        console.print(f"| {title} ({len(names)}) | {cells} |")


@click.command()
@click.option("--worlds", type=click.IntRange(1), default=6, show_default=True)
@click.option("--first-seed", type=int, default=90_000, show_default=True)
@click.option("--accounts", type=click.IntRange(50), default=500, show_default=True)
@click.option("--wide-specialists", "wide", is_flag=True, help="Specialists use whole corpora, not regions.")
def command(worlds: int, first_seed: int, accounts: int, wide: bool) -> None:
    """Print the power of every signal as a Markdown table."""
    console = Console(width=200, highlight=False, soft_wrap=True)
    done = []
    for settings in power_settings(worlds, first_seed, accounts):
        with wide_specialists() if wide else nullcontext():
            world = world_ranks(settings)
        done.append(world)
        spent = ", ".join(f"{name} {value:.1f} s" for name, value in world.seconds.items())
        roles = "shuffled" if settings.randomise else "default"
        console.print(
            f"world {settings.seed} ({roles} roles): {settings.records:,} records, {len(world.kind)} accounts with "
            f"at least {MIN_RECORDS}, {int(world.attack.sum())} attacking; {spent}"
        )
    print_report(console, done)


if __name__ == "__main__":
    command()
