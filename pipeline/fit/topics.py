"""Fit the topic figures from which `pipeline.simulate` draws its points.

``python -m pipeline.fit.topics --embeddings DIR`` reads ``DIR/<source>.parquet`` (int8 grid vectors, token
counts) and writes ``pipeline/data/topics.npz``: for each source a mixture of components. A component is a
centroid (a mean of at least `MIN_MEMBERS` vectors), its spread along a basis shared by the source's components,
an isotropic remainder, a weight, and the log-normal figures of its token counts. Neither text nor any single
vector is kept.

A point is drawn as ``centroid + sum_j s_j (sqrt(a) A_j + sqrt(1 - a) Z_j) b_j + remainder``: ``A`` belongs to
one of ``anchors`` places per component (near neighbours gather there, as near-duplicates do in real corpora),
``Z`` to the prompt. ``a`` and the number of places are chosen so that distances to the nearest neighbour match
the held-out half of the source; the command prints how well they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from pipeline.simulate.content import TOPICS_FILE, Topics, grid_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_MEMBERS = 8
MEMBERS_PER_COMPONENT = 50
MAX_COMPONENTS = 112
BASIS = 48
ANCHOR_SHARES = (0.0, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95)
ANCHOR_COUNTS = (8, 16, 32, 64)

# A source with two unlike parts is fitted as two, by the value of its label column.
SPLIT_BY_LABEL = {"gpteacher": ("codegen", "roleplay")}


@dataclass(frozen=True, slots=True)
class Corpus:
    """One source: its name, grid vectors int8[n, d] and token counts int64[n]."""

    name: str
    vectors: NDArray[np.int8]
    tokens: NDArray[np.int64]

    def take(self, index: NDArray[np.int64]) -> Corpus:
        """Some of its rows."""
        return Corpus(self.name, self.vectors[index], self.tokens[index])


@dataclass(frozen=True, slots=True)
class Likeness:
    """How simulated points compare with held-out real ones; each pair is (real, simulated).

    ``nearest``: median cosine distance to the nearest neighbour within the set; ``nearest_low`` its 10 %
    quantile; ``cosine``: mean pairwise cosine; ``rank``: effective rank ``exp(-sum p ln p)`` of the second moment.
    """

    name: str
    points: int
    nearest: tuple[float, float]
    nearest_low: tuple[float, float]
    cosine: tuple[float, float]
    rank: tuple[float, float]


def read_corpora(folder: Path) -> list[Corpus]:
    """All sources of a folder, in order of name.

    Raises
    ------
    click.ClickException
        The folder holds no Parquet file.
    """
    corpora = []
    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path, columns=["label", "tokens", "embedding"]).combine_chunks()
        column = table["embedding"].chunk(0)
        width = column.type.byte_width
        vectors = np.frombuffer(column.buffers()[1], np.int8)[: len(column) * width].reshape(-1, width)
        whole = Corpus(path.stem, vectors, table["tokens"].to_numpy().astype(np.int64))
        parts = SPLIT_BY_LABEL.get(path.stem)
        if parts is None:
            corpora.append(whole)
            continue
        labels = np.array([str(value) for value in table["label"].to_pylist()])
        for part in parts:
            chosen = whole.take(np.flatnonzero(np.char.find(labels, part) >= 0))
            corpora.append(Corpus(f"{path.stem}_{part}", chosen.vectors, chosen.tokens))
    if not corpora:
        msg = f"{folder} holds no .parquet file; name the folder of embeddings with --embeddings"
        raise click.ClickException(msg)
    return corpora


def cluster(unit: NDArray[np.float64], components: int, seed: int, rounds: int = 25) -> NDArray[np.int64]:
    """Spherical k-means with k-means++ seeding; returns each row's component."""
    rng = np.random.default_rng(seed)
    chosen = [int(rng.integers(len(unit)))]
    nearest = 1 - unit @ unit[chosen[0]]
    for _ in range(components - 1):
        share = np.clip(nearest, 0, None)
        chosen.append(int(rng.choice(len(unit), p=share / share.sum())))
        nearest = np.minimum(nearest, 1 - unit @ unit[chosen[-1]])
    centres = unit[chosen]
    assigned = np.zeros(len(unit), np.int64)
    for _ in range(rounds):
        assigned = (unit @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, assigned, unit)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norms > 0, sums / np.maximum(norms, 1e-12), centres)
    return assigned


def fit_source(corpus: Corpus, seed: int) -> Topics:
    """The mixture of one source, without its anchors (share 0)."""
    vectors = corpus.vectors.astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = int(np.clip(len(unit) // MEMBERS_PER_COMPONENT, 4, MAX_COMPONENTS))
    assigned = cluster(unit, wanted, seed)
    sizes = np.bincount(assigned, minlength=wanted)
    kept = np.flatnonzero(sizes >= MIN_MEMBERS)
    within = np.concatenate([vectors[assigned == c] - vectors[assigned == c].mean(axis=0) for c in kept])
    _, _, rows = np.linalg.svd(within.T @ within)
    basis = rows[:BASIS]
    scale = grid_scale(vectors.shape[1])
    centroids, spreads, remainders, tokens = [], [], [], []
    for c in kept:
        members = vectors[assigned == c]
        centre = members.mean(axis=0)
        offsets = members - centre
        along = offsets @ basis.T
        # Few members: shrink the component's spread towards the source's own.
        own, common = along.var(axis=0), (within @ basis.T).var(axis=0)
        weight = len(members) / (len(members) + 20)
        spreads.append(np.sqrt(weight * own + (1 - weight) * common * own.sum() / common.sum()))
        left = offsets - along @ basis
        remainders.append(np.sqrt((left**2).mean() * vectors.shape[1] / (vectors.shape[1] - BASIS)))
        # Where nearly identical texts have a mean that rounds to one of them, it is shortened: no row is kept.
        if (np.rint(centre) == members).all(axis=1).any():
            centre = centre * 0.97
        centroids.append(centre)
        logs = np.log(np.maximum(corpus.tokens[assigned == c], 1))
        tokens.append((logs.mean(), max(float(logs.std()), 0.05)))
    return Topics(
        sources=(corpus.name,),
        component_source=np.zeros(len(kept), np.int16),
        centroid=np.rint(np.array(centroids)).astype(np.int8),
        spread=np.array(spreads, np.float16),
        remainder=np.array(remainders, np.float16),
        weight=(sizes[kept] / sizes[kept].sum()).astype(np.float32),
        tokens=np.array(tokens, np.float32),
        basis=np.clip(np.rint(basis * scale), -127, 127).astype(np.int8)[None],
        anchor_share=np.zeros(1, np.float32),
        anchors=np.ones(1, np.int32),
    )


def nearest_cosine_distances(vectors: NDArray[np.int8]) -> NDArray[np.float64]:
    """Cosine distance of each row to the nearest other row of the same set."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)
    nearest: NDArray[np.float64] = cosine.max(axis=1)
    return 1 - nearest


def mean_cosine(vectors: NDArray[np.int8]) -> float:
    """Mean cosine over all pairs of different rows."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    n = len(unit)
    return float((np.sum(unit.sum(axis=0) ** 2) - n) / (n * (n - 1)))


def moment_rank(vectors: NDArray[np.int8]) -> float:
    """Effective rank (Roy & Vetterli 2007) of the second moment: ``exp(-sum p ln p)`` of its spectrum."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    p = np.clip(np.linalg.eigvalsh(unit.T @ unit), 1e-12, None)
    p /= p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def draw(topics: Topics, count: int, seed: int) -> NDArray[np.int8]:
    """Fresh prompts of a one-source mixture."""
    rng = np.random.default_rng(seed)
    component = rng.choice(len(topics.weight), count, p=topics.weight / topics.weight.sum())
    prompt = rng.integers(0, 1 << 63, count, dtype=np.uint64)
    return topics.vectors(component, prompt, rng.integers(0, 1 << 63, count, dtype=np.uint64))


def choose_anchors(topics: Topics, held_out: NDArray[np.int8], seed: int) -> Topics:
    """The share and number of anchors whose nearest-neighbour distances are closest to the held-out points."""
    quantiles = (0.1, 0.25, 0.5, 0.75, 0.9)
    wanted = np.quantile(nearest_cosine_distances(held_out), quantiles)
    best, least = topics, np.inf
    for share in ANCHOR_SHARES:
        for count in ANCHOR_COUNTS if share else (1,):
            tried = topics.with_anchors(share, count)
            found = np.quantile(nearest_cosine_distances(draw(tried, len(held_out), seed)), quantiles)
            loss = float(np.abs(found - wanted).sum())
            if loss < least:
                best, least = tried, loss
    return best


def compare(topics: Topics, held_out: NDArray[np.int8], seed: int) -> Likeness:
    """Real held-out points beside as many simulated ones."""
    simulated = draw(topics, len(held_out), seed)
    real_nearest, their_nearest = nearest_cosine_distances(held_out), nearest_cosine_distances(simulated)
    return Likeness(
        topics.sources[0],
        len(held_out),
        (float(np.median(real_nearest)), float(np.median(their_nearest))),
        (float(np.quantile(real_nearest, 0.1)), float(np.quantile(their_nearest, 0.1))),
        (mean_cosine(held_out), mean_cosine(simulated)),
        (moment_rank(held_out), moment_rank(simulated)),
    )


def fit(corpora: Sequence[Corpus], seed: int) -> tuple[Topics, list[Likeness]]:
    """All sources together, and how like the real ones they are (judged on a half not fitted on)."""
    parts, likeness = [], []
    for corpus in corpora:
        order = np.random.default_rng(seed).permutation(len(corpus.tokens))
        half = len(order) // 2
        # At most 1,500 held-out points: distances to the nearest neighbour depend on how many there are.
        held_out = corpus.vectors[order[half : half + 1500]]
        judged = choose_anchors(fit_source(corpus.take(order[:half]), seed), held_out, seed)
        likeness.append(compare(judged, held_out, seed + 1))
        whole = fit_source(corpus, seed)
        parts.append(whole.with_anchors(float(judged.anchor_share[0]), int(judged.anchors[0])))
    return Topics.joined(parts), likeness


@click.command()
@click.option(
    "--embeddings", type=click.Path(path_type=Path, file_okay=False), default="../shared/data/embeddings"
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Default: the shipped file."
)
@click.option("--seed", type=int, default=20_260_101, show_default=True)
def command(embeddings: Path, out: Path | None, seed: int) -> None:
    """Fit the topic figures of the simulator and print how like the real points they are."""
    topics, likeness = fit(read_corpora(embeddings), seed)
    target = out or TOPICS_FILE
    topics.save(target)
    shown = Table(title="held-out real / simulated")
    for heading in ("source", "points", "nearest, median", "nearest, 10 %", "mean cosine", "effective rank"):
        shown.add_column(heading)
    for row in likeness:
        pairs = [row.nearest, row.nearest_low, row.cosine]
        shown.add_row(
            row.name,
            str(row.points),
            *(f"{real:.3f} / {simulated:.3f}" for real, simulated in pairs),
            f"{row.rank[0]:.0f} / {row.rank[1]:.0f}",
        )
    console = Console()
    console.print(shown)
    console.print(f"{target}: {target.stat().st_size:,} bytes, {len(topics.weight)} components")


if __name__ == "__main__":
    command()
