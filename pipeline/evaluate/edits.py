"""Changes to a simulated world before it is generated: who is in it, how much they send, with which habits.

`pipeline.simulate` fixes the shares of its benign kinds and draws habits from the same ranges in every world. A
benchmark on such worlds flatters whatever was fitted on them, so evaluation worlds move both, and hold kinds that
the simulator does not know.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.simulate.world import World

# Habit: (how a world moves it for one kind of stream, standard deviation, lowest, highest).
SHIFTS: dict[str, tuple[str, float, float, float]] = {
    "flatness": ("add", 0.15, 0.0, 1.0),
    "reasoning": ("scale", 0.4, 0.0, 1.0),
    "streaming": ("scale", 0.3, 0.0, 1.0),
    "refusals": ("scale", 0.4, 0.0, 0.2),
    "errors": ("scale", 0.4, 0.0, 0.2),
    "other_language": ("scale", 0.4, 0.0, 0.9),
    "retry": ("scale", 0.4, 0.0, 0.4),
    "wrapper": ("scale", 0.3, 0.0, 0.6),
    "skew": ("scale", 0.15, 1.0, 4.0),
    "session": ("scale", 0.4, 1.0, 400.0),
    "gap": ("scale", 0.4, 0.2, 600.0),
    "burst": ("scale", 0.4, 0.03, 6.0),
    "output_log": ("add", 0.3, 2.5, 8.5),
    "overhead": ("scale", 0.4, 0.0, 5000.0),
}
POOL_SHIFT = 0.5


def keep_accounts(world: World, accounts: NDArray[np.int64]) -> World:
    """The world with these accounts alone, in this order."""
    place = np.full(len(world.account_ids), -1, np.int64)
    place[accounts] = np.arange(len(accounts))
    streams = np.flatnonzero(place[world.account] >= 0)
    return replace(
        world,
        account_ids=[world.account_ids[i] for i in accounts],
        organization_ids=[world.organization_ids[i] for i in accounts],
        payment_ids=[world.payment_ids[i] for i in accounts],
        labels=[world.labels[i] for i in accounts],
        streams=[world.streams[i] for i in streams],
        account=place[world.account[streams]],
        counts=world.counts[streams],
        number={name: values[streams] for name, values in world.number.items()},
        networks=world.networks[streams],
        agents=world.agents[streams],
        combos=world.combos[streams],
        languages=world.languages[streams],
        mixture=world.mixture[streams],
        pool=world.pool[streams],
        pool_size=world.pool_size[streams],
        pool_start=world.pool_start[streams],
        word=world.word[streams],
    )


def streams_of(world: World) -> list[NDArray[np.int64]]:
    """Streams of each account; the first is its main one."""
    order = np.argsort(world.account, kind="stable")
    edges = np.searchsorted(world.account[order], np.arange(len(world.account_ids) + 1))
    return [order[edges[i] : edges[i + 1]] for i in range(len(world.account_ids))]


def resize(world: World, totals: NDArray[np.int64], main_share: Mapping[int, float]) -> World:
    """Other numbers of records.

    Parameters
    ----------
    totals
        int64[accounts], at least 1.
    main_share
        For some accounts the share of their main stream; the others keep the proportions that they have.
    """
    counts = np.zeros(len(world.counts), np.int64)
    for account, streams in enumerate(streams_of(world)):
        weight = np.maximum(world.counts[streams].astype(np.float64), 1e-3)
        if account in main_share and len(streams) > 1:
            weight[1:] *= (1 - main_share[account]) / weight[1:].sum()
            weight[0] = main_share[account]
        edges = np.rint(np.cumsum(weight / weight.sum()) * totals[account]).astype(np.int64)
        counts[streams] = np.diff(edges, prepend=0)
    return replace(world, counts=counts)


def resize_pools(world: World, pool_ratio: NDArray[np.float64]) -> World:
    """Pools in proportion to the records, float64[streams] prompts a record; after `resize`."""
    return replace(world, pool_size=np.maximum(1.0, np.ceil(world.counts * pool_ratio)))


def shift_habits(world: World, rng: random.Random) -> tuple[World, NDArray[np.float64]]:
    """Move the habits of each kind of stream as a whole; returns the pool ratios as well, moved like them."""
    kinds = np.array([stream.kind for stream in world.streams], object)
    number = {name: values.copy() for name, values in world.number.items()}
    ratio = np.array([stream.pool_ratio for stream in world.streams], np.float64)
    for kind in sorted(set(kinds)):
        mine = kinds == kind
        for name, (how, deviation, low, high) in SHIFTS.items():
            step = rng.gauss(0.0, deviation)
            moved = number[name][mine] + step if how == "add" else number[name][mine] * math.exp(step)
            number[name][mine] = np.clip(moved, low, high)
        ratio[mine] *= math.exp(rng.gauss(0.0, POOL_SHIFT))
    return replace(world, number=number), ratio


def add_mixture(
    world: World, streams: Sequence[int], component: NDArray[np.int64], weight: NDArray[np.float64]
) -> World:
    """Let some streams send prompts of these components."""
    size = world.mixtures.shape[1]
    edges = np.cumsum(weight / weight.sum())
    place = np.minimum(np.searchsorted(edges, (np.arange(size) + 0.5) / size), len(component) - 1)
    mixture = world.mixture.copy()
    mixture[list(streams)] = len(world.mixtures)
    return replace(
        world,
        mixture=mixture,
        mixtures=np.concatenate([world.mixtures, component[place].astype(np.int16)[None]]),
    )
