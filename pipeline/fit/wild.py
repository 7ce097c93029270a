"""Kinds with habits drawn anew: worlds in which only the form of the use tells who harvests.

The shipped kinds have fixed ranges, and what is fitted to them learns the ranges. Here every kind of a world draws ranges
of its own for whatever is not of its nature: templates, system prompts, sampling parameters, requests for reasoning,
answer lengths, clocks, sittings, networks. What stays is the nature of a use:

- a harvest sends prompts from all over its sources, hardly any twice (or each the same few times);
- a specialist or a bot keeps to a region, or has users who ask the same again, or works in sittings on one subject: at
  least two of the three;
- a batch job keeps to a region or a source that is its own; an evaluation sends a fixed set again and again.

``tameness`` says how much of a shipped range is kept: 1 the range as it is, 0 a range drawn from anywhere.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from pipeline.simulate.kinds import ATTACKS, BENIGN, STREAMS, AccountKind, Catalogue

if TYPE_CHECKING:
    import random

    from pipeline.simulate.kinds import StreamKind

# Habits that any use may have, with the bounds that a wild range is drawn between; "log" ones by their logarithm.
ANYWHERE: dict[str, tuple[str, float, float]] = {
    "wrapper": ("linear", 0.0, 0.5),
    "reasoning": ("linear", 0.0, 1.0),
    "streaming": ("linear", 0.0, 1.0),
    "logprobs": ("linear", 0.0, 0.4),
    "refusals": ("linear", 0.0, 0.06),
    "errors": ("linear", 0.0, 0.08),
    "other_language": ("linear", 0.0, 0.6),
    "flatness": ("linear", 0.0, 1.0),
    "burst": ("log", 0.05, 4.0),
    "days": ("linear", 0.1, 1.0),
    "session": ("log", 2.0, 300.0),
    "gap": ("log", 0.3, 300.0),
    "output_log": ("linear", 3.0, 7.3),
    "overhead": ("linear", 0.0, 3000.0),
    "adoption": ("linear", 0.0, 1.0),
}
COUNTS: dict[str, tuple[int, int]] = {
    "few": (1, 25),
    "combos": (1, 8),
    "networks": (1, 6),
    "agents": (1, 3),
}
SHARES = ("system_prompts",)
# These are of a use's nature; they are moved per kind below.
HARVESTS = (
    "harvest",
    "chat_like_harvest",
    "reasoning_harvest",
    "plain_harvest",
    "plain_reasoning_harvest",
    "drip",
    "pivot_harvest",
)
SPECIALISTS = ("coding_agent", "tutoring", "tool_user", "document_job", "support_bot", "niche")


def wild_kinds(rng: random.Random, tameness: float) -> Catalogue:
    """A catalogue for one world."""
    streams = {name: _habits(rng, kind, tameness) for name, kind in STREAMS.items()}
    for name in HARVESTS:
        streams[name] = _harvest(rng, streams[name], chat_like=name == "chat_like_harvest")
    for name in SPECIALISTS:
        streams[name] = _specialist(rng, streams[name])
    streams["batch_job"] = replace(
        streams["batch_job"], region=_region(rng, 2, 60), pool=_span(rng, 0.5, 20), sequential=rng.random()
    )
    streams["evaluation_harness"] = replace(
        streams["evaluation_harness"], pool=_span(rng, 0.08, 0.9), four_answers=rng.uniform(0.0, 0.6)
    )
    streams["researcher"] = replace(
        streams["researcher"], pool=_span(rng, 0.08, 1.2), four_answers=rng.uniform(0.1, 0.8)
    )
    streams["chat"] = replace(
        streams["chat"], coherent=rng.uniform(0.5, 1.0), region=_region(rng, 3, 60), pool=_span(rng, 1, 60)
    )
    benign = {name: _size(rng, kind, tameness) for name, kind in BENIGN.items()}
    attacks = {name: _size(rng, kind, tameness) for name, kind in ATTACKS.items()}
    return Catalogue(streams, benign, attacks)


def _habits(rng: random.Random, kind: StreamKind, tameness: float) -> StreamKind:
    changes: dict[str, object] = {}
    known = {field.name for field in fields(kind)}
    for name, (scale, low, high) in ANYWHERE.items():
        if name in known and rng.random() >= tameness:
            changes[name] = _range(rng, scale, low, high)
    for name, (low_count, high_count) in COUNTS.items():
        if rng.random() >= tameness:
            one, two = sorted(rng.randint(low_count, high_count) for _ in range(2))
            changes[name] = (one, two)
    for name in SHARES:
        if rng.random() >= tameness:
            changes[name] = rng.random()
    if rng.random() >= tameness:
        parts = [rng.expovariate(1.0) for _ in range(3)]
        changes["templates"] = tuple(part / sum(parts) for part in parts)
    return replace(kind, **changes)  # type: ignore[arg-type]


def _harvest(rng: random.Random, kind: StreamKind, *, chat_like: bool) -> StreamKind:
    # Some harvests ask every prompt several times; some take a part of a large corpus alone.
    low = rng.uniform(0.8, 3.0)
    return replace(
        kind,
        sources=(1, rng.randint(1, 4)),
        region=(0, 0) if rng.random() < 0.8 else (30, 100),
        evenness=_range(rng, "linear", 0.0, 1.0),
        pool=(low, low * math.exp(rng.uniform(0.5, 3.0))),
        sequential=rng.uniform(0.5, 1.0),
        coherent=rng.uniform(0.4, 0.9) if chat_like else rng.uniform(0.0, 0.25),
        retry=(0.0, rng.uniform(0.0, 0.12)),
        four_answers=rng.choice((0.0, 0.2, 0.5)),
    )


def _specialist(rng: random.Random, kind: StreamKind) -> StreamKind:
    """Two or three of: a region, users who ask the same again, sittings on one subject."""
    nature = rng.sample(("region", "repeats", "sittings"), rng.choice((2, 3)))
    return replace(
        kind,
        region=_region(rng, 2, 40) if "region" in nature else (0, 0),
        pool=_span(rng, 0.15, 2.5) if "repeats" in nature else _span(rng, 2, 30),
        skew=(1.2, rng.uniform(2.0, 3.5)) if "repeats" in nature else (1.0, 1.6),
        coherent=rng.uniform(0.75, 1.0) if "sittings" in nature else rng.uniform(0.0, 0.5),
        sequential=0.0 if "sittings" in nature else rng.uniform(0.0, 0.4),
    )


def _size(rng: random.Random, kind: AccountKind, tameness: float) -> AccountKind:
    median, sigma = kind.records
    scale = math.exp(rng.gauss(0.0, 0.7 * (1 - tameness)))
    return replace(kind, records=(median * scale, sigma * rng.uniform(0.7, 1.2)))


def _range(rng: random.Random, scale: str, low: float, high: float) -> tuple[float, float]:
    if scale == "log":
        one, two = sorted(math.exp(rng.uniform(math.log(low), math.log(high))) for _ in range(2))
    else:
        one, two = sorted(rng.uniform(low, high) for _ in range(2))
    return one, two


def _span(rng: random.Random, low: float, high: float) -> tuple[float, float]:
    return _range(rng, "log", low, high)


def _region(rng: random.Random, low: int, high: int) -> tuple[int, int]:
    one, two = sorted(round(math.exp(rng.uniform(math.log(low), math.log(high)))) for _ in range(2))
    return one, two
