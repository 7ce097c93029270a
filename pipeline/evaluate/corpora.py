"""Prompts for evaluation worlds: real embeddings, or the shipped figures, with the roles of the sources dealt out.

A world never sends a row of a corpus twice by accident: each prompt is a fresh point between two near neighbours of
its corpus (`CorpusTopics`). Such a point lies a little further inside the corpus than a real prompt would, so
near-duplicates are somewhat closer than in life; the rows themselves are what somebody really wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.fit.topics import cluster, read_corpora
from pipeline.records.grid import quantise
from pipeline.simulate.content import Topics, default_topics, grid_scale
from pipeline.simulate.kinds import ROLES
from pipeline.simulate.mixing import Words, mix, uniform
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.fit.topics import Corpus

DEFAULT_DATA = Path("../shared/data")
NEIGHBOURS = 6
ROWS_PER_COMPONENT = 60
MAX_COMPONENTS = 100
# A component with fewer rows has no neighbours to draw between; its rows join the next component.
MIN_ROWS = 8
_SEED = 0xE7A1


@dataclass(frozen=True, slots=True)
class CorpusTopics(Topics):
    """Topics whose points lie between real rows.

    ``rows`` int8[R, d] are grid vectors; ``neighbours`` int32[R, `NEIGHBOURS`] the nearest other rows of the same
    component; component ``c`` owns ``members[first[c]:first[c + 1]]``. Of the mixture's own figures only
    ``component_source``, ``weight``, ``tokens`` and ``centroid`` mean anything.
    """

    rows: NDArray[np.int8]
    neighbours: NDArray[np.int32]
    members: NDArray[np.int32]
    first: NDArray[np.int64]

    def vectors(self, component: NDArray[np.int64], place: Words, prompt: Words) -> NDArray[np.int8]:
        """Grid vectors int8[n, d] of prompts, a function of the three names alone."""
        return quantise(self.floats(component, place, prompt), EmbeddingSpace(dimension=self.dimension))

    def floats(self, component: NDArray[np.int64], place: Words, prompt: Words) -> NDArray[np.float32]:
        """The same before rounding, float32[n, d], of the grid's norm.

        The place names a row, the prompt one of the rows around it and how far towards one of *its* neighbours.
        """
        start, stop = self.first[component], self.first[component + 1]
        near = np.uint64(self.neighbours.shape[1])
        # The same place is the same row: a coherent session stays around it.
        row = self.members[
            start + (mix(place, component, 0x91) % (stop - start).astype(np.uint64)).astype(np.int64)
        ]
        step = (mix(prompt, component, 0x92) % near).astype(np.int64)
        row = np.where(uniform(prompt, 0x93) < 0.5, self.neighbours[row, step], row)
        other = self.neighbours[row, (mix(prompt, component, 0x94) % near).astype(np.int64)]
        share = (0.15 + 0.35 * uniform(prompt, 0x95)).astype(np.float32)[:, None]
        out = np.empty((len(component), self.dimension), np.float32)
        scale = np.float32(grid_scale(self.dimension))
        for begin in range(0, len(out), 2048):
            cut = slice(begin, begin + 2048)
            block = self.rows[row[cut]].astype(np.float32) * (1 - share[cut])
            block += self.rows[other[cut]].astype(np.float32) * share[cut]
            block *= scale / np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
            out[cut] = block
        return out


def corpus_topics(corpora: Sequence[Corpus]) -> CorpusTopics:
    """Components of near rows for each corpus, side by side."""
    component_source, weights, tokens, centroids = [], [], [], []
    members, sizes, neighbours = [], [], []
    offset = 0
    for number, corpus in enumerate(corpora):
        unit = corpus.vectors.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        for rows in _components(unit):
            near = _nearest(unit[rows])
            members.append(offset + rows)
            neighbours.append((offset + rows, offset + rows[near]))
            sizes.append(len(rows))
            component_source.append(number)
            weights.append(len(rows) / len(unit))
            logs = np.log(np.maximum(corpus.tokens[rows], 1))
            tokens.append((logs.mean(), max(float(logs.std()), 0.05)))
            centroids.append(np.rint(corpus.vectors[rows].mean(axis=0)))
        offset += len(unit)
    table = np.zeros((offset, NEIGHBOURS), np.int32)
    for rows, near in neighbours:
        table[rows] = near
    count, dimension = len(corpora), corpora[0].vectors.shape[1]
    return CorpusTopics(
        sources=tuple(corpus.name for corpus in corpora),
        component_source=np.array(component_source, np.int16),
        centroid=np.array(centroids, np.int8),
        spread=np.zeros((len(sizes), 1), np.float16),
        remainder=np.zeros(len(sizes), np.float16),
        weight=np.array(weights, np.float32),
        tokens=np.array(tokens, np.float32),
        basis=np.zeros((count, 1, dimension), np.int8),
        anchor_share=np.zeros(count, np.float32),
        anchors=np.ones(count, np.int32),
        rows=np.concatenate([corpus.vectors for corpus in corpora]),
        neighbours=table,
        members=np.concatenate(members).astype(np.int32),
        first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def _components(unit: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    wanted = int(np.clip(len(unit) // ROWS_PER_COMPONENT, 1, MAX_COMPONENTS))
    assigned = cluster(unit, wanted, _SEED, rounds=8)
    found = np.unique(assigned)
    kept = [c for c in found if (assigned == c).sum() >= MIN_ROWS]
    if not kept:
        return [np.arange(len(unit))]
    centres = np.stack([unit[assigned == c].mean(axis=0) for c in kept])
    lost = ~np.isin(assigned, kept)
    assigned[lost] = np.array(kept)[(unit[lost] @ centres.T).argmax(axis=1)]
    return [np.flatnonzero(assigned == c) for c in kept]


def _nearest(unit: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the `NEIGHBOURS` nearest other rows (with fewer rows some are repeated), int64[n, NEIGHBOURS]."""
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(NEIGHBOURS, max(1, len(unit) - 1))]
    return np.resize(order.T, (NEIGHBOURS, len(unit))).T if order.shape[1] < NEIGHBOURS else order


@cache
def load_topics(data: Path | None) -> Topics:
    """Of a folder with ``embeddings/<source>.parquet`` (or the embeddings folder itself); None: the shipped figures.

    Raises
    ------
    UsageError
        The folder has no embeddings.
    """
    if data is None:
        return default_topics()
    folder = data / "embeddings" if (data / "embeddings").is_dir() else data
    if not any(folder.glob("*.parquet")):
        msg = f"{data} has no embeddings/<source>.parquet; name another folder, or leave --data out for simulated prompts"
        raise UsageError(msg)
    return corpus_topics(read_corpora(folder))


# The names that `pipeline.simulate.kinds.ROLES` knows, those that are harvested first.
HARVESTED_NAMES = tuple(ROLES["harvest"])
OTHER_NAMES = tuple(sorted({name for weights in ROLES.values() for name in weights} - set(HARVESTED_NAMES)))


@dataclass(frozen=True, slots=True)
class Deal:
    """Which source plays which name of `ROLES`.

    ``played`` names the source behind each role name; ``niche`` are sources that no role uses: content that only
    niche accounts send.
    """

    played: Mapping[str, str]
    niche: tuple[str, ...]

    @property
    def harvested(self) -> tuple[str, ...]:
        """Sources that attackers harvest here, sorted."""
        return tuple(sorted({self.played[name] for name in HARVESTED_NAMES}))


def deal(sources: Sequence[str], rng: random.Random, harvested: Sequence[str] = ()) -> Deal:
    """Deal the roles out anew: any source may be the harvested one, chat's, or a batch job's.

    Parameters
    ----------
    harvested
        The sources to be harvested; default: two to four, drawn. Specialists work on them too, as in life.
    """
    pool = rng.sample(list(sources), len(sources))
    wanted = list(harvested) or pool[: min(rng.randint(2, 4), max(1, len(pool) // 2))]
    left = [name for name in pool if name not in wanted] or wanted
    niche = tuple(left.pop() for _ in range(1 if len(left) > 3 else 0))
    # Every harvested source is used; with more names than sources some play several.
    played = {
        name: wanted[i % len(wanted)]
        for i, name in enumerate(rng.sample(HARVESTED_NAMES, len(HARVESTED_NAMES)))
    }
    played |= {name: left[i % len(left)] for i, name in enumerate(OTHER_NAMES)}
    return Deal(played, niche)


def niche_name(source: str) -> str:
    """The name of a niche source in a world's topics."""
    return f"niche:{source}"


def dealt_topics(topics: Topics, dealt: Deal) -> Topics:
    """The same points under the names of the roles, and niche sources under `niche_name`."""
    order = [*dealt.played.items(), *((niche_name(name), name) for name in dealt.niche)]
    index = [topics.components(source) for _, source in order]
    component = np.concatenate(index)
    changes: dict[str, object] = {
        "sources": tuple(name for name, _ in order),
        "component_source": np.repeat(np.arange(len(order)), [len(each) for each in index]).astype(np.int16),
        **{
            name: getattr(topics, name)[component]
            for name in ("centroid", "spread", "remainder", "weight", "tokens")
        },
    }
    number = np.array([topics.sources.index(source) for _, source in order])
    changes |= {name: getattr(topics, name)[number] for name in ("basis", "anchor_share", "anchors")}
    if isinstance(topics, CorpusTopics):
        sizes = np.diff(topics.first)[component]
        changes["first"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        changes["members"] = np.concatenate(
            [topics.members[topics.first[c] : topics.first[c + 1]] for c in component]
        )
    return replace(topics, **changes)  # type: ignore[arg-type]
