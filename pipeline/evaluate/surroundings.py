"""Networks, payment, user agents and habits of some accounts of a world, drawn anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.catalogue import LANGUAGES, PLACES
from pipeline.simulate.habits import Surroundings, draw_stream, slots, some_agents
from pipeline.simulate.world import POPULAR_NETWORKS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from pipeline.simulate.kinds import Catalogue
    from pipeline.simulate.world import World


def token(rng: random.Random, prefix: str) -> str:
    """An identifier of the shape that the simulator gives organisations and payments."""
    return f"{prefix}_{rng.getrandbits(48):012x}"


def draw_surroundings(rng: random.Random, size: int) -> Surroundings:
    """Of a person or company with so many sites."""
    country, offset, languages = rng.choice(PLACES)
    own = [rng.randrange(1 << 22) for _ in range(rng.randint(1, 2 + size))]
    popular = [rng.randrange(POPULAR_NETWORKS) for _ in range(rng.randint(0, 5))]
    main, other = (LANGUAGES.index(language) for language in languages)
    return Surroundings(
        networks=own + popular,
        agents=some_agents(rng, rng.randint(1, 4)),
        languages=(main, other),
        offset_hours=offset,
        country=country,
        asn=rng.randrange(3000, 60000),
    )


def own_arrays(world: World) -> World:
    """The same world with arrays and lists of its own, which may be changed in place."""
    return replace(
        world,
        organization_ids=list(world.organization_ids),
        payment_ids=list(world.payment_ids),
        streams=list(world.streams),
        number={name: values.copy() for name, values in world.number.items()},
        networks=world.networks.copy(),
        agents=world.agents.copy(),
        combos=world.combos.copy(),
        languages=world.languages.copy(),
        pool=world.pool.copy(),
        pool_start=world.pool_start.copy(),
    )


def move_in(world: World, streams: Sequence[int], around: Surroundings, rng: random.Random) -> None:
    """Let these streams come from other networks, with other user agents; all else stays. Changes the world."""
    for s in streams:
        world.networks[s] = slots(
            rng, rng.sample(around.networks, rng.randint(1, min(3, len(around.networks))))
        )
        world.agents[s] = slots(rng, rng.sample(around.agents, rng.randint(1, len(around.agents))))
        world.streams[s] = replace(world.streams[s], country=around.country, asn=around.asn)


def fresh_stream(
    world: World,
    stream: int,
    around: Surroundings,
    rng: random.Random,
    catalogue: Catalogue,
    *,
    own_pool: bool,
) -> None:
    """Draw habits and surroundings of a stream anew from its kind; what it asks about stays. Changes the world.

    Parameters
    ----------
    own_pool
        Its prompts, templates and system prompts are nobody else's either.
    """
    old = world.streams[stream]
    new = draw_stream(
        rng, catalogue.streams[old.kind], around, name=old.kind, account=old.account, weight=old.weight
    )
    world.streams[stream] = replace(new, mixture=old.mixture, pool_ratio=max(new.pool_ratio, old.pool_ratio))
    for name, values in world.number.items():
        values[stream] = new.values[name]
    world.networks[stream], world.agents[stream], world.combos[stream] = new.networks, new.agents, new.combos
    world.languages[stream] = new.languages
    if own_pool:
        world.pool[stream], world.pool_start[stream] = np.uint64(rng.getrandbits(63)), 0
