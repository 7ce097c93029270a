"""Kinds of account and surroundings that `pipeline.simulate` does not know, so that nothing can be fitted to them.

Honest: ``catalogue_job``, ``regression_suite``, ``translation_job``, ``data_builder``, ``ab_test``, and campuses (many
accounts of ordinary kinds behind the same few networks, paid from the same few accounts). Attacking:
``office_harvest``, ``answers_harvest``, and ``hydra_scattered``: a hydra whose members have nothing in common but the
distribution of what they ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate import edits
from pipeline.evaluate.surroundings import draw_surroundings, fresh_stream, move_in, own_arrays, token
from pipeline.simulate.kinds import DEFAULT_KINDS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pipeline.simulate.kinds import Catalogue
    from pipeline.simulate.world import World

SCATTERED_SHARE = 0.35
CAMPUS_KINDS = ("chat", "coding_agent", "tutoring", "researcher", "evaluation_harness", "tool_user")
# Share of a world's benign accounts that live on a campus, and the size of one.
CAMPUS_SHARE = (0.02, 0.08)
CAMPUS_SIZE = (15, 60)


def scatter_hydras(
    world: World, kinds: list[str], rng: random.Random, catalogue: Catalogue = DEFAULT_KINDS
) -> World:
    """Some campaigns whose members share no network, payment, user agent, parameter, template or prompt.

    Each member draws its habits anew from the ranges of its kind of stream, and walks through a pool of its own that
    is drawn from the campaign's distribution. ``kinds`` is changed in place.
    """
    campaigns: dict[str, list[int]] = {}
    for i, label in enumerate(world.labels):
        if label.campaign is not None:
            campaigns.setdefault(label.campaign, []).append(i)
    chosen = [name for name in sorted(campaigns) if rng.random() < SCATTERED_SHARE]
    streams, world = edits.streams_of(world), own_arrays(world)
    for name in chosen:
        for account in campaigns[name]:
            kinds[account] = "hydra_scattered"
            around = draw_surroundings(rng, 1)
            for place, stream in enumerate(streams[account]):
                fresh_stream(world, int(stream), around, rng, catalogue, own_pool=place == 0)
            world.organization_ids[account] = token(rng, "org") if rng.random() < 0.4 else None
            world.payment_ids[account] = token(rng, "pay") if rng.random() < 0.9 else None
    return world


def found_campuses(world: World, kinds: list[str], rng: random.Random) -> tuple[World, frozenset[int]]:
    """Offices, labs and universities: honest accounts of several kinds on the same networks; returns whom they hold."""
    able = [i for i, kind in enumerate(kinds) if kind in CAMPUS_KINDS and not world.labels[i].attack]
    benign = sum(not label.attack for label in world.labels)
    left = min(len(able), round(rng.uniform(*CAMPUS_SHARE) * benign))
    rng.shuffle(able)
    members: set[int] = set()
    streams, world = edits.streams_of(world), own_arrays(world)
    while left >= 2:
        size = min(left, rng.randint(*CAMPUS_SIZE))
        group, able, left = able[:size], able[size:], left - size
        around = draw_surroundings(rng, 2)
        around.networks = around.networks[: rng.randint(2, 6)]
        organization = token(rng, "org")
        payments = [token(rng, "pay") for _ in range(1 + size // rng.randint(5, 20))]
        for account in group:
            world.organization_ids[account] = organization
            world.payment_ids[account] = rng.choice(payments) if rng.random() < 0.8 else token(rng, "pay")
        move_in(world, [int(s) for i in group for s in streams[i]], around, rng)
        members.update(group)
    return world, frozenset(members)


def turn_kinds(
    world: World, kinds: list[str], ratio: NDArray[np.float64], rng: random.Random
) -> tuple[World, NDArray[np.float64]]:
    """Turn some accounts into kinds that the simulator does not know; ``kinds`` is changed in place."""
    ratio = ratio.copy()
    streams, world = edits.streams_of(world), own_arrays(world)

    def turn(
        old: str,
        new: str,
        share: float,
        pool: Callable[[], float] | None,
        habits: Callable[[], Mapping[str, float]],
    ) -> None:
        mine = [i for i, kind in enumerate(kinds) if kind == old and rng.random() < share]
        for i in mine:
            kinds[i] = new
            if pool is not None:
                ratio[streams[i][0]] = pool()
            for name, value in habits().items():
                world.number[name][streams[i][0]] = value

    # A shop describes its whole catalogue: evenly, once, round the clock, one template. As a harvest, but honest.
    turn(
        "batch_job", "catalogue_job", 0.3, lambda: rng.uniform(3, 20),
        lambda: {"sequential": 1, "coherent": 0, "retry": 0.002, "flatness": 0.95, "burst": 3.0,
                 "template_mode": 2, "templates": 1},
    )  # fmt: skip
    # Documents of one's own, paragraph after paragraph into some languages: every prompt comes again for each.
    turn(
        "batch_job", "translation_job", 0.25, lambda: rng.uniform(1.5, 6),
        lambda: {"sequential": 1, "coherent": 0, "answers": rng.choice((1, 2, 3, 5)), "choices": 1,
                 "retry": 0.01, "reasoning": 0.0, "template_mode": 2, "templates": rng.randint(1, 5),
                 "other_language": rng.uniform(0.2, 0.9), "flatness": rng.uniform(0.3, 1.0)},
    )  # fmt: skip
    # Questions and answers for fine-tuning, from one's own documents: once each, with reasoning, long answers.
    for old, share in (("document_job", 0.3), ("batch_job", 0.1)):
        turn(
            old, "data_builder", share, lambda: rng.uniform(1, 12),
            lambda: {"sequential": 1, "coherent": 0, "answers": rng.choice((1, 1, 2, 4)), "choices": 1,
                     "retry": 0.005, "reasoning": rng.uniform(0.3, 1.0), "template_mode": 2,
                     "templates": rng.randint(1, 6), "flatness": rng.uniform(0.3, 1.0),
                     "output_log": rng.uniform(5.5, 7.2)},
        )  # fmt: skip
    # Tests of one's own application, the same few hundred prompts at every release.
    turn(
        "evaluation_harness", "regression_suite", 0.3, lambda: rng.uniform(0.02, 0.15),
        lambda: {"sequential": 1, "coherent": 0, "flatness": 0.2, "burst": 0.05, "session": 300, "gap": 0.5},
    )  # fmt: skip
    # Two versions against each other on what the users ask: every prompt goes to both models.
    turn(
        "support_bot", "ab_test", 0.12, None,
        lambda: {"answers": 2, "choices": 1, "second_share": 0.5, "sequential": 0},
    )  # fmt: skip
    # A person behind a desk drives the harvest: by day, on working days, in small portions.
    turn(
        "careful_harvest", "office_harvest", 0.3, lambda: rng.uniform(2, 20),
        lambda: {"sequential": 1, "coherent": 0, "flatness": 0.0, "weekend": 0.0, "burst": 0.5,
                 "session": 12, "gap": 60},
    )  # fmt: skip
    # Four answers to every prompt, for a preference set: the prompt again and again, or one request for four.
    turn(
        "careful_harvest", "answers_harvest", 0.3, lambda: rng.uniform(1, 10),
        lambda: {"sequential": 1, "coherent": 0, **rng.choice(({"answers": 4, "choices": 1}, {"answers": 1, "choices": 4}))},
    )  # fmt: skip
    return world, ratio


def widen(world: World, accounts: list[int]) -> World:
    """Let these accounts' main streams work on all of their sources' topics, as an agent for everything would."""
    streams = edits.streams_of(world)
    for account in accounts:
        stream = int(streams[account][0])
        used = np.unique(world.topics.component_source[world.mixtures[world.mixture[stream]]])
        names = [world.topics.sources[s] for s in used]
        every = np.concatenate([world.topics.components(name) for name in names])
        world = edits.add_mixture(world, [stream], every, world.topics.weight[every].astype(np.float64))
    return world


def thin_out(totals: NDArray[np.int64], kinds: list[str], rng: random.Random) -> NDArray[np.int64]:
    """Hydra accounts with 12 to 45 records each: too few for an alert of their own."""
    totals = totals.copy()
    for i, kind in enumerate(kinds):
        if kind.startswith("hydra"):
            totals[i] = rng.randint(12, 45)
    return totals
