"""Habits of one stream, drawn once from the ranges of its kind and kept for its life."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.simulate.catalogue import COMBOS, NEW_MODEL, USER_AGENTS

if TYPE_CHECKING:
    import random

    from pipeline.simulate.kinds import Range, StreamKind

# Template modes.
NONE, FRESH, FEW = 0, 1, 2

# A stream picks networks, user agents and parameters from this many equally likely slots.
SLOTS = 16


@dataclass(slots=True)
class Surroundings:
    """What the streams of one account, company or campaign share.

    ``networks`` and ``agents`` are numbers of the catalogue; ``languages`` is (main, other).
    """

    networks: list[int]
    agents: list[int]
    languages: tuple[int, int]
    offset_hours: int
    country: str
    asn: int


@dataclass(slots=True)
class Stream:
    """One stream: whose it is, how much of it there is, what it sends, when and how."""

    account: int
    kind: str
    weight: float
    mixture: int = 0
    pool: int = 0
    pool_ratio: float = 1.0
    pool_start: int = 0
    values: dict[str, float] = field(default_factory=dict)
    networks: list[int] = field(default_factory=list)
    agents: list[int] = field(default_factory=list)
    combos: list[int] = field(default_factory=list)
    languages: tuple[int, int] = (0, 0)
    country: str = "US"
    asn: int = 0


# The numeric habits, one array each in a world.
NUMBERS = (
    "sequential",
    "skew",
    "coherent",
    "retry",
    "answers",
    "choices",
    "wrapper",
    "template_mode",
    "templates",
    "system_prompts",
    "reasoning",
    "streaming",
    "logprobs",
    "refusals",
    "errors",
    "other_language",
    "flatness",
    "peak_hour",
    "weekend",
    "burst",
    "first_day",
    "active_days",
    "session",
    "gap",
    "jitter",
    "output_log",
    "output_sigma",
    "overhead",
    "latency",
    "model",
    "second_model",
    "second_share",
    "adoption",
    "adoption_delay",
    "network_known",
)


def between(rng: random.Random, limits: Range) -> float:
    """Uniform."""
    return rng.uniform(*limits)


def log_between(rng: random.Random, limits: Range) -> float:
    """Uniform in the logarithm."""
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def skewed(rng: random.Random, limits: Range) -> float:
    """Within the range, more often near its low end, with the high end still met."""
    return limits[0] + (limits[1] - limits[0]) * rng.random() ** 2


def slots(rng: random.Random, choices: list[int]) -> list[int]:
    """`SLOTS` picks in which early choices are met more often; every choice is met if it fits."""
    picked = [*choices[:SLOTS]]
    while len(picked) < SLOTS:
        picked.append(choices[min(int(rng.expovariate(1.0)), len(choices) - 1)])
    return picked


def draw_stream(
    rng: random.Random, kind: StreamKind, around: Surroundings, *, name: str, account: int, weight: float
) -> Stream:
    """One stream of a kind with habits of its own, in the surroundings of its account."""
    mode = rng.choices((NONE, FRESH, FEW), kind.templates)[0]
    many = rng.random() < kind.four_answers
    asks_n = many and rng.random() < 0.5
    days = between(rng, kind.days)
    # Half of the streams that may ask for reasoning hardly do, in every kind: the field alone says little.
    reasoning = between(rng, kind.reasoning) if rng.random() < 0.7 else kind.reasoning[0] * rng.random()
    values: dict[str, float] = {
        "sequential": float(rng.random() < kind.sequential),
        "skew": between(rng, kind.skew),
        "coherent": float(rng.random() < kind.coherent),
        "retry": skewed(rng, kind.retry),
        "answers": float(rng.choice((2, 4, 4, 8))) if many and not asks_n else 1.0,
        "choices": float(rng.choice((2, 4, 4, 8))) if asks_n else 1.0,
        "wrapper": between(rng, kind.wrapper),
        "template_mode": float(mode),
        "templates": float(rng.randint(*kind.few)),
        "system_prompts": float(rng.randint(1, 3)) if rng.random() < kind.system_prompts else 0.0,
        "reasoning": reasoning,
        "streaming": rng.choice((kind.streaming[0], kind.streaming[1], between(rng, kind.streaming))),
        "logprobs": skewed(rng, kind.logprobs),
        "refusals": skewed(rng, kind.refusals),
        "errors": skewed(rng, kind.errors),
        "other_language": skewed(rng, kind.other_language),
        "flatness": between(rng, kind.flatness),
        "peak_hour": (rng.gauss(14, 2.5) - around.offset_hours) % 24,
        "weekend": rng.uniform(0.3, 1.0),
        "burst": log_between(rng, kind.burst),
        "first_day": rng.random() * (1 - days),
        "active_days": days,
        "session": log_between(rng, kind.session),
        "gap": log_between(rng, kind.gap),
        "jitter": rng.uniform(0.1, 1.0),
        "output_log": between(rng, kind.output_log),
        "output_sigma": rng.uniform(0.3, 0.9),
        "overhead": skewed(rng, kind.overhead),
        "latency": rng.lognormvariate(0.0, 0.2),
        "model": float(rng.randrange(NEW_MODEL)),
        "second_model": float(rng.randrange(NEW_MODEL)),
        "second_share": rng.choice((0.0, 0.0, rng.uniform(0.02, 0.4))),
        "adoption": between(rng, kind.adoption) if rng.random() < 0.6 else 0.0,
        "adoption_delay": rng.expovariate(1 / 40.0),  # hours after the release
        "network_known": float(rng.random() < 0.95),
    }
    if kind.adoption[0] > 0.5:
        values["adoption"] = between(rng, kind.adoption)
        values["adoption_delay"] = rng.uniform(0, 24)
    number_of_networks = rng.randint(*kind.networks)
    number_of_agents = rng.randint(*kind.agents)
    combos = [rng.randrange(COMBOS) for _ in range(rng.randint(*kind.combos))]
    return Stream(
        account=account,
        kind=name,
        weight=weight,
        pool_ratio=log_between(rng, kind.pool),
        values=values,
        networks=slots(rng, rng.sample(around.networks, min(number_of_networks, len(around.networks)))),
        agents=slots(rng, rng.sample(around.agents, min(number_of_agents, len(around.agents)))),
        combos=slots(rng, combos),
        languages=around.languages,
        country=around.country,
        asn=around.asn,
    )


def some_agents(rng: random.Random, count: int) -> list[int]:
    """User agents that one company or person uses."""
    return rng.sample(range(len(USER_AGENTS)), count)
