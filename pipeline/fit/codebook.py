"""Fit the topic codebook: ``python -m pipeline.fit.codebook --embeddings DIR --output codebook.npy``.

Spherical k-means (Dhillon & Modha, Machine Learning 42, 2001) on grid vectors, in integers wherever a choice is
made: scores are exact float32 products, ties go to the lowest index, centroid sums are int64, the random draws of
the seeding (k-means++, Arthur & Vassilvitskii, SODA 2007) come from SHAKE-256. Every machine fits the same bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from pipeline.errors import UsageError
from pipeline.fit.corpus import DEFAULT_FOLDER, Corpus, read_corpus
from pipeline.parameters import to_grid
from pipeline.profiles.schema import TOPICS
from pipeline.spaces import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.spaces import EmbeddingSpace

DEFAULT_CAP = 2000
DEFAULT_ROUNDS = 40
_BLOCK = 8192


def nearest(
    vectors: npt.NDArray[np.int8], centroids: npt.NDArray[np.int8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Index and score of the centroid with the largest dot product, ties to the lowest: int64[n] each."""
    matrix = np.ascontiguousarray(centroids.T.astype(np.float32))
    index = np.empty(len(vectors), dtype=np.int64)
    best = np.empty(len(vectors), dtype=np.int64)
    for low in range(0, len(vectors), _BLOCK):
        scores = vectors[low : low + _BLOCK].astype(np.float32) @ matrix
        chosen = scores.argmax(axis=1)
        index[low : low + _BLOCK] = chosen
        best[low : low + _BLOCK] = np.take_along_axis(scores, chosen[:, None], axis=1)[:, 0]
    return index, best


def seed_centroids(
    vectors: npt.NDArray[np.int8], count: int, space: EmbeddingSpace, seed: str
) -> npt.NDArray[np.int8]:
    """k-means++ with integer weights: the next centroid is drawn with probability proportional to 1 - cosine."""
    x = vectors.astype(np.float32)
    full = int(space.norm2)
    draws = np.frombuffer(hashlib.shake_256(f"{seed}/seeding".encode()).digest(8 * count), dtype="<u8")
    chosen = [int(draws[0]) % len(vectors)]
    distance = np.full(len(vectors), full, dtype=np.int64)
    for draw in draws[1:]:
        scores = (x @ x[chosen[-1]]).astype(np.int64)
        np.minimum(distance, np.clip(full - scores, 0, None), out=distance)
        running = np.cumsum(distance)
        chosen.append(int(np.searchsorted(running, int(draw) % max(1, int(running[-1])), side="right")))
    return vectors[chosen]


def fit_codebook(
    corpus: Corpus, seed: str = "distillwatch", rounds: int = DEFAULT_ROUNDS
) -> npt.NDArray[np.int8]:
    """Centroids int8[256, d] of a (balanced) corpus.

    A centroid that loses all its records moves to the record that is served worst.

    Raises
    ------
    UsageError
        There are fewer records than topics.
    """
    vectors = corpus.vectors
    if len(vectors) < TOPICS:
        msg = f"{len(vectors)} embeddings cannot make {TOPICS} topics; give at least {TOPICS}"
        raise UsageError(msg)
    centroids = seed_centroids(vectors, TOPICS, corpus.space, seed)
    previous: npt.NDArray[np.int64] | None = None
    for _ in range(rounds):
        index, best = nearest(vectors, centroids)
        if previous is not None and np.array_equal(index, previous):
            break
        previous = index
        sums = np.zeros((TOPICS, vectors.shape[1]), dtype=np.int64)
        np.add.at(sums, index, vectors)
        counts = np.bincount(index, minlength=TOPICS)
        worst = iter(np.argsort(best, kind="stable").tolist())
        for empty in np.flatnonzero((counts == 0) | ~sums.any(axis=1)):
            sums[empty] = vectors[next(worst)]
        centroids = to_grid(sums.astype(np.float64), corpus.space)
    return centroids


def balance(corpus: Corpus, centroids: npt.NDArray[np.int8]) -> dict[str, object]:
    """How evenly topics are used: over all records with each source weighing the same, and per source."""
    index, best = nearest(corpus.vectors, centroids)
    shares = np.stack(
        [
            np.bincount(index[corpus.source == number], minlength=TOPICS)
            / max(1, (corpus.source == number).sum())
            for number in range(len(corpus.names))
        ]
    )
    mean = shares.mean(axis=0)
    owner = shares.argmax(axis=0)
    positive = mean[mean > 0]
    cosine = best / (corpus.space.norm2)
    return {
        "records": len(index),
        "topics_used": int((mean > 0).sum()),
        "largest_share": round(float(mean.max()), 4),
        "effective_topics": round(float(np.exp(-(positive * np.log(positive)).sum())), 1),
        "mean_cosine_to_centroid": round(float(cosine.mean()), 3),
        "topics_led_by_source": {
            name: int((owner[mean > 0] == number).sum()) for number, name in enumerate(corpus.names)
        },
        "effective_topics_of_source": {
            name: round(float(np.exp(-sum(s * np.log(s) for s in row if s > 0))), 1)
            for name, row in zip(corpus.names, shares, strict=True)
        },
    }


@click.command()
@click.option("--embeddings", type=click.Path(path_type=Path), default=DEFAULT_FOLDER, show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name of the embedding model.")
@click.option("--cap", default=DEFAULT_CAP, show_default=True, help="Records of one source at most.")
@click.option("--rounds", default=DEFAULT_ROUNDS, show_default=True, help="Rounds of k-means at most.")
@click.option("--seed", default="distillwatch", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="int8[256, d], .npy")
def main(*, embeddings: Path, model: str, cap: int, rounds: int, seed: str, output: Path) -> None:
    """Fit 256 topic centroids to a folder of embeddings, no source counting for more than CAP records."""
    corpus = read_corpus(embeddings, model)
    centroids = fit_codebook(corpus.balanced(cap), seed, rounds)
    np.save(output, centroids)
    for name, value in balance(corpus, centroids).items():
        click.echo(f"{name}: {value}")


if __name__ == "__main__":
    main()
