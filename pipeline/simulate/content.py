"""Points of the embedding space that look like those of real prompts.

The figures come from `pipeline.fit.topics`. A prompt is named by (component, place, prompt word): the same name
gives the same vector, so that a repeated prompt repeats its embedding, and nothing has to be remembered.

Held-out real points beside simulated ones, from the fitting command (cosine distance to the nearest neighbour,
median; mean pairwise cosine; effective rank): see ``pipeline/data/README.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.simulate.mixing import Words, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOPICS_FILE = Path(__file__).parents[1] / "data" / "topics.npz"

# Normal coefficients come in rows from a bank; the sum of two rows gives 2**24 different prompts a place.
_BANK_ROWS = 4096
# Rows of the remainder are drawn from few enough to stay in the cache.
_REST_ROWS = 1024
_BANK_SEED = 0x7091C5


def grid_scale(dimension: int) -> float:
    """Grid steps per unit (see `pipeline.spaces`)."""
    return 127.0 * math.sqrt(dimension) / 7.0


@lru_cache(maxsize=8)
def _bank(count: int, columns: int, tag: int) -> NDArray[np.float32]:
    """Standard normal rows float32[count, columns], from the mixer: no numpy stream is a contract."""
    from scipy.special import ndtri

    cell = np.arange(count * columns, dtype=np.uint64)
    quantile = ((mix(cell, _BANK_SEED, tag) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    rows: NDArray[np.float32] = ndtri(quantile).astype(np.float32).reshape(count, columns)
    rows.setflags(write=False)
    return rows


@dataclass(frozen=True, slots=True)
class Topics:
    """Mixtures of several sources.

    ``component_source`` int16[K] names the source of each component; ``centroid`` int8[K, d] lies on the grid;
    ``spread`` float16[K, r] is the standard deviation (grid steps) along the source's ``basis`` int8[S, r, d]
    (unit rows on the grid); ``remainder`` float16[K] that of every other direction; ``weight`` float32[K] sums
    to 1 in each source; ``tokens`` float32[K, 2] is mean and deviation of the log token count;
    ``anchor_share`` float32[S] and ``anchors`` int32[S] say how near neighbours gather.
    """

    sources: tuple[str, ...]
    component_source: NDArray[np.int16]
    centroid: NDArray[np.int8]
    spread: NDArray[np.float16]
    remainder: NDArray[np.float16]
    weight: NDArray[np.float32]
    tokens: NDArray[np.float32]
    basis: NDArray[np.int8]
    anchor_share: NDArray[np.float32]
    anchors: NDArray[np.int32]

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return int(self.centroid.shape[1])

    def components(self, source: str) -> NDArray[np.int64]:
        """Indices of the components of one source.

        Raises
        ------
        UsageError
            There is no such source.
        """
        if source not in self.sources:
            msg = f"the topic figures know no source {source!r}; there are {', '.join(self.sources)}"
            raise UsageError(msg)
        return np.flatnonzero(self.component_source == self.sources.index(source))

    def with_anchors(self, share: float, count: int) -> Topics:
        """The same mixture with other anchors in every source."""
        return replace(
            self,
            anchor_share=np.full_like(self.anchor_share, share),
            anchors=np.full_like(self.anchors, count),
        )

    def vectors(self, component: NDArray[np.int64], place: Words, prompt: Words) -> NDArray[np.int8]:
        """Grid vectors int8[n, d] of prompts, a function of the three names alone.

        Parameters
        ----------
        component
            int64[n], index of the component.
        place
            uint64[n]; equal words in one component are near neighbours, and unequal ones meet by chance in one
            of the component's anchors.
        prompt
            uint64[n], the prompt's own word.
        """
        return to_grid(self.floats(component, place, prompt))

    def floats(self, component: NDArray[np.int64], place: Words, prompt: Words) -> NDArray[np.float32]:
        """The same before scaling and rounding, float32[n, d], of about the grid's norm."""
        out = np.empty((len(component), self.dimension), np.float32)
        source = self.component_source[component]
        order = np.argsort(source, kind="stable")
        edges = np.searchsorted(source[order], np.arange(len(self.sources) + 1))
        for s in range(len(self.sources)):
            index = order[edges[s] : edges[s + 1]]
            if len(index):
                out[index] = self._of_source(s, component[index], place[index], prompt[index])
        return out

    def _of_source(
        self, s: int, component: NDArray[np.int64], place: Words, prompt: Words
    ) -> NDArray[np.float32]:
        bank = _bank(_BANK_ROWS, self.basis.shape[1], 1)
        rest = _bank(_REST_ROWS, self.dimension, 2)
        share = float(self.anchor_share[s])
        anchor = mix(place % np.uint64(self.anchors[s]), component, 0x51)
        own = mix(prompt, component, 0x52)
        mask, twelve = np.uint64(_BANK_ROWS - 1), np.uint64(12)
        along = bank[own & mask]
        along += bank[(own >> twelve) & mask]
        along *= np.float32(math.sqrt((1 - share) / 2))
        if share:
            shared = bank[anchor & mask]
            shared += bank[(anchor >> twelve) & mask]
            shared *= np.float32(math.sqrt(share / 2))
            along += shared
        along *= self.spread[component].astype(np.float32)
        # Sixteenths of a grid step times int8: all sums are integers below 2**24, so the product is exact and a
        # prompt gets the same vector in whatever batch it is drawn.
        np.rint(along * np.float32(16), out=along)
        vectors: NDArray[np.float32] = along @ self.basis[s].astype(np.float32)
        vectors *= np.float32(1 / (16 * grid_scale(self.dimension)))
        vectors += self.centroid[component]
        # The remainder is noise in all directions; anchored prompts share it in the same proportion.
        level = self.remainder[component].astype(np.float32)[:, None]
        few = np.uint64(_REST_ROWS - 1)
        noise: NDArray[np.float32] = rest[(own >> np.uint64(24)) & few]
        noise *= level * np.float32(math.sqrt(1 - share))
        vectors += noise
        if share:
            np.take(rest, ((anchor >> np.uint64(24)) & few).astype(np.int64), axis=0, out=noise)
            noise *= level * np.float32(math.sqrt(share))
            vectors += noise
        return vectors

    def save(self, path: Path) -> None:
        """Write the figures as compressed numpy arrays."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sources"}
        np.savez_compressed(path, sources=np.array(self.sources), **arrays)

    @classmethod
    def load(cls, path: Path = TOPICS_FILE) -> Topics:
        """Read figures that `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            fields = {name: data[name] for name in data.files if name != "sources"}
            return cls(sources=tuple(str(name) for name in data["sources"]), **fields)

    @classmethod
    def joined(cls, parts: Sequence[Topics]) -> Topics:
        """Several fits side by side."""
        names = ("centroid", "spread", "remainder", "weight", "tokens", "basis", "anchor_share", "anchors")
        offsets = np.cumsum([0, *(len(part.sources) for part in parts[:-1])])
        return cls(
            sources=tuple(name for part in parts for name in part.sources),
            component_source=np.concatenate(
                [part.component_source + offset for part, offset in zip(parts, offsets, strict=True)]
            ).astype(np.int16),
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        )


def to_grid(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Scale rows to the grid's norm and round them: int8[n, d]."""
    out = np.empty(vectors.shape, np.int8)
    # Blocks that stay in the cache.
    for start in range(0, len(vectors), 512):
        block = vectors[start : start + 512]
        factor = np.float32(grid_scale(vectors.shape[1])) / np.sqrt(np.einsum("ij,ij->i", block, block))
        scaled = block * factor[:, None]
        np.rint(scaled, out=scaled)
        np.clip(scaled, -127, 127, out=scaled)
        out[start : start + 512] = scaled
    return out


@cache
def default_topics() -> Topics:
    """The shipped figures."""
    return Topics.load()
