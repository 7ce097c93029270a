"""Which prompt each record sends: a walk through a pool, a popular entry, a place held for a session, a retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.content import to_grid
from pipeline.simulate.mixing import Words, mix, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulate.timeline import Moments
    from pipeline.simulate.world import World

# Pool entries next to each other share a place: a session that stays coherent stays in one such block.
BLOCK = 16


@dataclass(frozen=True, slots=True)
class Prompts:
    """``component`` int64[n], ``place`` and ``prompt`` uint64[n]: the three names of a prompt, and its ``slot``."""

    component: NDArray[np.int64]
    place: Words
    prompt: Words
    slot: NDArray[np.int64]


def choose(world: World, moments: Moments) -> Prompts:
    """Prompts of records; the same (pool, component, slot) is the same prompt, in whatever account."""
    number, stream = world.number, moments.stream
    word = world.word[stream]
    answers = np.maximum(number["answers"][stream], 1.0)
    step = np.floor(moments.ordinal / answers).astype(np.int64)
    # A retry sends the prompt before once more.
    step = np.where(
        (uniform(word, moments.ordinal, 0x71) < number["retry"][stream]) & (step > 0), step - 1, step
    )
    size = world.pool_size[stream]
    popular = np.floor(size * uniform(word, step, 0x72) ** number["skew"][stream])
    walked = np.mod(step, size)
    sequential = number["sequential"][stream] > 0
    coherent = (number["coherent"][stream] > 0) & ~sequential
    blocks = np.ceil(size / BLOCK)
    block = np.floor(blocks * uniform(moments.session, 0x73) ** number["skew"][stream])
    within = np.minimum(block * BLOCK + np.floor(BLOCK * uniform(word, step, 0x74)), size - 1)
    slot = (
        np.where(sequential, walked, np.where(coherent, within, popular)).astype(np.int64)
        + world.pool_start[stream]
    )
    pool = world.pool[stream]
    # A coherent stream keeps a topic per block, so that a session has one topic; others a topic per prompt.
    topic_key = np.where(coherent, slot // BLOCK, slot)
    entry = (mix(pool, topic_key, 0x75) & np.uint64(255)).astype(np.int64)
    component = world.mixtures[world.mixture[stream], entry].astype(np.int64)
    prompt = mix(pool, component, slot, 0x76)
    place = np.where(coherent, mix(pool, component, slot // BLOCK, 0x77), prompt)
    return Prompts(component, place, prompt, slot)


def embed(world: World, moments: Moments, prompts: Prompts) -> NDArray[np.int8]:
    """Grid vectors int8[n, d], the stream's wrapper text mixed in."""
    vectors = world.topics.floats(prompts.component, prompts.place, prompts.prompt)
    used, inverse = np.unique(moments.stream, return_inverse=True)
    # The wrapper is one more text: a prompt of any component, the same for all records of the pool.
    owner = world.pool[used]
    component = (mix(owner, 0x78) % np.uint64(len(world.topics.weight))).astype(np.int64)
    share = world.number["wrapper"].astype(np.float32)[:, None]
    text = world.topics.floats(component, mix(owner, 0x79), mix(owner, 0x7A)) * share[used]
    vectors *= 1 - share[moments.stream]
    for start in range(0, len(vectors), 512):
        vectors[start : start + 512] += text[inverse[start : start + 512]]
    return to_grid(vectors)
