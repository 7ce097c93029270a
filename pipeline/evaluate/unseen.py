"""Kinds of account that neither the simulator nor the fit of any shipped model knows: only evaluation has them.

The kinds of `beyond` were once that, until the shipped forest was fitted to worlds with them. What is said here about
forms of use that no fit has met is worth something only as long as nothing under `pipeline/fit` asks for these.

Each is a form that automated, broad or fresh use takes in life, where a detector of harvests is most likely to err:

- ``moderation_pipeline``: what users post, each once, round the clock, one template, a word or two as the answer;
- ``search_answers``: an application answers what people search, with what it found in front of the question;
- ``companion_app``: one account behind an application in which many people chat at the same time;
- ``code_review``: every change of one company's code once, by a program, with reasoning;
- ``homework_app``: one account behind an application for students: the whole of a subject, popular questions often;
- ``grader``: answers of other systems judged, sets of them again at every version, token probabilities asked for;
- ``event_automation``: a template for each kind of event, events as they come.

Attacking: ``burst_harvest`` (all within two days), ``shuffled_harvest`` (in no order, a new template each time, with
repeats), ``translated_harvest`` (most prompts in another language, a few people's hours).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.evaluate import beyond, edits
from pipeline.evaluate.surroundings import own_arrays

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.simulate.world import World

    Habits = Callable[[random.Random], Mapping[str, float]]

NO_TEMPLATE, FRESH_TEMPLATE, FEW_TEMPLATES = 0.0, 1.0, 2.0
"""Values of the habit ``template_mode``, as `pipeline.simulate.habits` draws them."""


@dataclass(frozen=True, slots=True)
class UnseenKind:
    """A kind, made of accounts of another.

    Parameters
    ----------
    old, share
        Whom it is made of, and which share of them.
    pool
        (low, high) prompts a record, uniform; see `StreamKind.pool`.
    habits
        Draws what is different from the old kind's habits.
    broad
        Its prompts come from all topics of its sources.
    records
        So many times the records of the old kind.
    """

    old: str
    share: float
    pool: tuple[float, float]
    habits: Habits
    broad: bool = False
    records: float = 1.0


def _moderation(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 1, "coherent": 0, "retry": 0.003, "answers": 1, "choices": 1,
        "template_mode": FEW_TEMPLATES, "templates": rng.randint(1, 2), "system_prompts": 1,
        "reasoning": rng.choice((0.0, 0.0, 0.1)), "streaming": 0, "flatness": rng.uniform(0.5, 1.0),
        "burst": rng.uniform(1.0, 4.0), "output_log": rng.uniform(1.0, 3.0), "other_language": rng.uniform(0.0, 0.4),
        "first_day": 0, "active_days": 1, "session": rng.uniform(2, 40), "gap": rng.uniform(0.5, 20),
    }  # fmt: skip


def _search(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 0, "coherent": 0, "skew": rng.uniform(1.1, 2.2), "retry": rng.uniform(0.0, 0.05), "answers": 1,
        "choices": 1, "template_mode": FEW_TEMPLATES, "templates": rng.randint(1, 3), "system_prompts": 1,
        "reasoning": rng.uniform(0.0, 0.2), "streaming": 1, "flatness": rng.uniform(0.2, 0.8),
        "burst": rng.uniform(1.0, 4.0), "overhead": rng.uniform(800, 4000), "first_day": 0, "active_days": 1,
        "session": rng.uniform(1, 4), "gap": rng.uniform(5, 120),
    }  # fmt: skip


def _companion(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 0, "coherent": 1, "skew": rng.uniform(1.0, 1.6), "retry": rng.uniform(0.0, 0.1),
        "template_mode": rng.choice((NO_TEMPLATE, FRESH_TEMPLATE)), "system_prompts": rng.randint(1, 3),
        "reasoning": rng.uniform(0.0, 0.3), "streaming": 1, "flatness": rng.uniform(0.3, 0.9),
        "burst": rng.uniform(1.5, 4.0), "first_day": 0, "active_days": 1, "session": rng.uniform(3, 12),
        "gap": rng.uniform(20, 120), "overhead": rng.uniform(200, 2000),
    }  # fmt: skip


def _code_review(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 1, "coherent": 0, "retry": rng.uniform(0.0, 0.1), "answers": 1, "choices": 1,
        "template_mode": FEW_TEMPLATES, "templates": rng.randint(1, 4), "system_prompts": 1,
        "reasoning": rng.uniform(0.4, 1.0), "streaming": 0, "flatness": rng.uniform(0.0, 0.5),
        "burst": rng.uniform(0.2, 1.0), "output_log": rng.uniform(5.0, 6.8), "overhead": rng.uniform(500, 4000),
        "session": rng.uniform(3, 60), "gap": rng.uniform(0.5, 10),
    }  # fmt: skip


def _homework(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 0, "coherent": float(rng.random() < 0.5), "skew": rng.uniform(1.3, 2.8),
        "retry": rng.uniform(0.0, 0.1), "template_mode": FEW_TEMPLATES, "templates": rng.randint(1, 3),
        "system_prompts": 1, "reasoning": rng.uniform(0.7, 1.0), "streaming": 1, "flatness": rng.uniform(0.0, 0.4),
        "burst": rng.uniform(1.0, 4.0), "session": rng.uniform(2, 10), "gap": rng.uniform(10, 120),
        "output_log": rng.uniform(5.0, 6.8), "first_day": 0, "active_days": 1,
    }  # fmt: skip


def _grader(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 1, "coherent": 0, "answers": rng.choice((1, 1, 2, 3)), "choices": 1, "retry": 0.005,
        "template_mode": FEW_TEMPLATES, "templates": rng.randint(1, 3), "system_prompts": rng.randint(0, 1),
        "reasoning": rng.choice((0.0, rng.uniform(0.6, 1.0))), "logprobs": rng.choice((0.0, 1.0)), "streaming": 0,
        "output_log": rng.uniform(1.5, 5.5), "overhead": rng.uniform(300, 3000), "burst": rng.uniform(0.05, 0.4),
        "session": rng.uniform(50, 300), "gap": rng.uniform(0.3, 4),
    }  # fmt: skip


def _events(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 1, "coherent": 0, "retry": rng.uniform(0.0, 0.08), "template_mode": FEW_TEMPLATES,
        "templates": rng.randint(2, 20), "system_prompts": rng.randint(0, 3), "reasoning": rng.uniform(0.0, 0.5),
        "streaming": 0, "flatness": rng.uniform(0.2, 1.0), "burst": rng.uniform(0.5, 4.0),
        "session": rng.uniform(1, 5), "gap": rng.uniform(0.5, 60), "output_log": rng.uniform(3.0, 6.0),
        "first_day": 0, "active_days": 1,
    }  # fmt: skip


def _burst(rng: random.Random) -> dict[str, float]:
    days = rng.uniform(0.05, 0.2)
    return {
        "sequential": 1, "coherent": 0, "first_day": rng.random() * (1 - days), "active_days": days,
        "burst": rng.uniform(0.5, 3.0), "session": rng.uniform(100, 400), "gap": rng.uniform(0.2, 3),
        "flatness": rng.uniform(0.3, 1.0),
    }  # fmt: skip


def _shuffled(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 0, "coherent": 0, "skew": rng.uniform(1.0, 1.2), "template_mode": FRESH_TEMPLATE,
        "retry": rng.uniform(0.05, 0.2), "flatness": rng.uniform(0.2, 0.9),
    }  # fmt: skip


def _translated(rng: random.Random) -> dict[str, float]:
    return {
        "sequential": 1, "coherent": 0, "other_language": rng.uniform(0.6, 0.95), "flatness": rng.uniform(0.0, 0.4),
        "session": rng.uniform(5, 40), "gap": rng.uniform(5, 60), "template_mode": NO_TEMPLATE,
    }  # fmt: skip


UNSEEN: dict[str, UnseenKind] = {
    "moderation_pipeline": UnseenKind("batch_job", 0.25, (10, 40), _moderation, broad=True, records=1.5),
    "event_automation": UnseenKind("batch_job", 0.25, (2, 20), _events),
    "search_answers": UnseenKind("support_bot", 0.25, (1, 12), _search, broad=True, records=1.5),
    "companion_app": UnseenKind("chat", 0.06, (10, 60), _companion, broad=True, records=4.0),
    "code_review": UnseenKind("coding_agent", 0.35, (4, 20), _code_review),
    "homework_app": UnseenKind("tutoring", 0.4, (0.5, 4), _homework, broad=True, records=2.0),
    "grader": UnseenKind("evaluation_harness", 0.4, (0.2, 2), _grader),
    "burst_harvest": UnseenKind("careful_harvest", 0.3, (2, 20), _burst),
    "shuffled_harvest": UnseenKind("careful_harvest", 0.4, (2, 20), _shuffled),
    "translated_harvest": UnseenKind("careful_harvest", 0.6, (2, 20), _translated),
}
"""In this order: a later kind is made of what the earlier ones left of the same old kind."""


def turn_unseen(
    world: World, kinds: list[str], ratio: NDArray[np.float64], rng: random.Random
) -> tuple[World, NDArray[np.float64]]:
    """Turn some accounts into `UNSEEN` kinds; ``kinds`` is changed in place, returned are world and pool ratios."""
    ratio = ratio.copy()
    streams, world = edits.streams_of(world), own_arrays(world)
    counts, broad = world.counts.copy(), []
    for name, new in UNSEEN.items():
        for i in [i for i, kind in enumerate(kinds) if kind == new.old and rng.random() < new.share]:
            stream = streams[i][0]
            kinds[i] = name
            ratio[stream] = rng.uniform(*new.pool)
            for habit, value in new.habits(rng).items():
                world.number[habit][stream] = value
            counts[stream] = max(1, round(counts[stream] * new.records))
            if new.broad:
                broad.append(i)
    return beyond.widen(replace(world, counts=counts), broad), ratio
