"""Fit the weights of `pipeline.signals.sequence.parts`: ``python -m pipeline.fit.part_weights``.

The streams of simulated accounts are parts whose truth is known: harvests are lists, everything else is people. Roles,
habits and pools are drawn anew in each world. Logistic regression with a small ridge, harvests weighing as much as the
rest together, every term held to the direction that it is argued for; a term that would need the other one gets 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from scipy.optimize import minimize

from pipeline.backend import get_backend
from pipeline.evaluate.worlds import END, EvaluationSettings, build_evaluation_world
from pipeline.parameters import Parameters
from pipeline.signals.sequence import COLUMNS, sequences
from pipeline.signals.sequence.parts import PRIOR
from pipeline.signals.sequence.parts_evidence import FEATURES, channels, of_parts
from pipeline.simulate.kinds import ATTACKS
from pipeline.simulate.records import Traffic
from pipeline.simulate.timeline import batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DIRECTION = {"near_in_time": -1, "crowded": -1, "again": -1, "one_topic": -1}
"""Argued for in the documentation; ``fresh``, ``alike`` and ``apart`` describe a part and accuse nobody."""

RIDGE = 1.0
FEWEST, MOST = 15, 800
"""Records of a stream, and of an account: larger ones cost most and teach nothing new."""


def stream_features(settings: EvaluationSettings) -> tuple[Numbers, NDArray[np.bool_]]:
    """Shrunk `FEATURES` of every stream of a world, and which are harvests."""
    world = build_evaluation_world(settings)
    traffic = Traffic(world.world, END)
    tables, owners = [], []
    for moments in batches(world.world, traffic.start_hour, traffic.batch_rows):
        tables.append(traffic.table(moments))
        owners.append(moments.stream)
    table, stream = pa.concat_tables(tables), np.concatenate(owners)
    wanted = [truth.account_id for truth in world.truth if FEWEST <= truth.records <= MOST]
    keep = pc.is_in(table["account_id"], pa.array(wanted))
    table, stream = table.filter(keep), stream[keep.to_numpy()]
    order = pc.sort_indices(table, [(c, "ascending") for c in ("account_id", "event_time", "request_id")])
    table, stream = table.take(order).select(list(COLUMNS)), stream[order.to_numpy()]
    lists = {name for kind in ATTACKS.values() for name in kind.main}
    found, harvest, low = [], [], 0
    for _, records in sequences(table, Parameters.default(), get_backend("numpy")):
        mine = stream[low : low + len(records)]
        low += len(records)
        names, sizes = np.unique(mine, return_counts=True)
        names, sizes = names[sizes >= FEWEST], sizes[sizes >= FEWEST].astype(np.float64)
        if len(names):
            rows = np.stack([np.ones(len(records), bool), *(mine == name for name in names)])
            features = of_parts(records, channels(records), rows)
            found.append((features[1:] * sizes[:, None] + PRIOR * features[:1]) / (sizes[:, None] + PRIOR))
            harvest += [world.world.streams[name].kind in lists for name in names]
    return np.concatenate(found), np.array(harvest)


def fit(features: Numbers, harvest: NDArray[np.bool_]) -> tuple[float, dict[str, float]]:
    """Intercept, and log-odds per unit of each feature that is argued for."""
    places = [FEATURES.index(name) for name in DIRECTION]
    x = features[:, places]
    middle, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = (x - middle) / spread
    weight = np.where(harvest, 0.5 / harvest.mean(), 0.5 / (1 - harvest.mean()))
    sign = np.where(harvest, 1.0, -1.0)

    def loss(at: Numbers) -> tuple[float, Numbers]:
        margin = sign * (z @ at[1:] + at[0])
        pull = -sign * weight / (1.0 + np.exp(np.clip(margin, -500, 500)))
        value = float((weight * np.logaddexp(0, -margin)).sum() + 0.5 * RIDGE * (at[1:] ** 2).sum())
        return value, np.concatenate([[pull.sum()], z.T @ pull + RIDGE * at[1:]])

    bounds = [(None, None), *((0, None) if d > 0 else (None, 0) for d in DIRECTION.values())]
    at = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B").x
    slopes = at[1:] / spread
    return float(at[0] - slopes @ middle), dict(zip(DIRECTION, slopes.tolist(), strict=True))


@click.command()
@click.option("--worlds", type=click.IntRange(1), default=6, show_default=True)
@click.option("--first-seed", type=int, default=70_000, show_default=True)
@click.option("--accounts", type=click.IntRange(50), default=300, show_default=True)
def command(worlds: int, first_seed: int, accounts: int) -> None:
    """Print the weights and how well they tell the streams of each world apart."""
    console = Console(width=120, highlight=False)
    done = [
        stream_features(EvaluationSettings(accounts=accounts, seed=seed, attack_share=0.3))
        for seed in range(first_seed, first_seed + worlds)
    ]
    intercept, slopes = fit(np.concatenate([x for x, _ in done]), np.concatenate([y for _, y in done]))
    streams, lists = sum(len(y) for _, y in done), sum(int(y.sum()) for _, y in done)
    console.print(f"{streams} streams, {lists} of them harvests")
    console.print(f"intercept {intercept:.2f}")
    for name, slope in slopes.items():
        console.print(f"{name} {slope:.2f}")


if __name__ == "__main__":
    command()
