"""Make the parameters of a space: ``python -m pipeline.fit.parameters --embeddings DIR --codebook FILE --output FILE``.

The kernel's width is the median distance of the embeddings given, each source weighing the same. The command also
measures what the integers cost: clipped coordinates, and MMD^2 of pairs of sources against the same random features
in floating point.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from pipeline.fit.corpus import DEFAULT_FOLDER, Corpus, read_corpus
from pipeline.kernels.kernel_mean import PHASES, phases
from pipeline.parameters import AMPLITUDE, Parameters, normal
from pipeline.profiles.schema import FEATURES
from pipeline.spaces import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy.typing as npt

MEDIAN_ROWS = 400
"""Rows of each source between which distances are measured."""

KERNEL_ROWS = 1500
"""Rows of each source between which the exact kernel is averaged."""


def median_distance(corpus: Corpus, rows: int = MEDIAN_ROWS) -> float:
    """Median Euclidean distance of two unit embeddings, to three decimals; at most ``rows`` of each source.

    Distances come from exact integer products; three decimals keep a last bit of the square root out of W.
    """
    sample = corpus.balanced(rows).vectors.astype(np.float32)
    upper = np.triu_indices(len(sample), k=1)
    products = (sample @ sample.T)[upper].astype(np.float64)
    return round(float(np.sqrt(np.median(2.0 - 2.0 * products / corpus.space.norm2))), 3)


def kernel_mean_error(
    corpus: Corpus, parameters: Parameters, seed: str, distance: float
) -> dict[str, dict[str, float]]:
    """MMD^2 between pairs of sources: in integers, with the same features in floating point, with the exact kernel.

    The floating-point features keep the frequencies before they were rounded to integers; the exact kernel is the
    mean over all pairs of at most 1,500 records of a source. All are biased (V-statistic) estimates.
    """
    d = corpus.space.dimension
    frequency = normal(f"{seed}/features/{d}", d * FEATURES).reshape(d, FEATURES) / (
        corpus.space.scale * distance
    )
    phase = parameters.phase.astype(np.float64) * (2.0 * np.pi / PHASES)
    integer: dict[str, npt.NDArray[np.float64]] = {}
    real: dict[str, npt.NDArray[np.float64]] = {}
    for name in corpus.names:
        rows = corpus.rows_of(name)
        turns = phases(
            rows.astype(np.float32) @ parameters.features.astype(np.float32), parameters.phase_offset, xp=np
        )
        integer[name] = parameters.cos_table[turns].astype(np.int64).sum(axis=0) / (len(rows) * AMPLITUDE)
        real[name] = np.cos(rows.astype(np.float64) @ frequency + phase).mean(axis=0)
    sample = corpus.balanced(KERNEL_ROWS)
    out = {}
    for one, two in itertools.combinations(corpus.names, 2):
        values = {
            "integer": 2.0 / FEATURES * float(((integer[one] - integer[two]) ** 2).sum()),
            "float": 2.0 / FEATURES * float(((real[one] - real[two]) ** 2).sum()),
            "kernel": _exact_mmd2(sample.rows_of(one), sample.rows_of(two), corpus.space.scale * distance),
        }
        out[f"{one} / {two}"] = values
    return out


def _exact_mmd2(one: npt.NDArray[np.int8], two: npt.NDArray[np.int8], width: float) -> float:
    """MMD^2 with the Gaussian kernel ``exp(-|x - y|^2 / (2 width^2))``."""
    a, b = one.astype(np.float32), two.astype(np.float32)

    def mean_kernel(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> float:
        squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2.0 * (x @ y.T)
        return float(np.exp(-squares.astype(np.float64) / (2.0 * width**2)).mean())

    return mean_kernel(a, a) + mean_kernel(b, b) - 2.0 * mean_kernel(a, b)


def clipping(corpus: Corpus) -> dict[str, float]:
    """Coordinates on the edge of the grid, and the range of squared norms against the space's."""
    norms = (corpus.vectors.astype(np.int32) ** 2).sum(axis=1)
    return {
        "coordinates_at_127": int((np.abs(corpus.vectors.astype(np.int16)) == 127).sum()),
        "largest_coordinate": int(np.abs(corpus.vectors.astype(np.int16)).max()),
        "smallest_norm2": int(norms.min()),
        "largest_norm2": int(norms.max()),
        "norm2_of_space": round(corpus.space.norm2),
    }


@click.command()
@click.option("--embeddings", type=click.Path(path_type=Path), default=DEFAULT_FOLDER, show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name of the embedding model.")
@click.option(
    "--codebook", type=click.Path(path_type=Path), required=True, help="Made by pipeline.fit.codebook."
)
@click.option("--seed", default="distillwatch", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(*, embeddings: Path, model: str, codebook: Path, seed: str, output: Path) -> None:
    """Write the parameters of a space and print what their integers cost on these embeddings."""
    corpus = read_corpus(embeddings, model)
    distance = median_distance(corpus)
    parameters = Parameters.generate(corpus.space, seed, np.load(codebook), distance)
    parameters.save(output)
    click.echo(f"{output}: {parameters.fingerprint}, shift {parameters.shift}, median distance {distance}")
    for fact, number in clipping(corpus).items():
        click.echo(f"{fact}: {number}")
    pairs = kernel_mean_error(corpus, parameters, seed, distance)
    for other, what in (("float", "the same features in floating point"), ("kernel", "the exact kernel")):
        relative = np.array([abs(pair["integer"] - pair[other]) / pair[other] for pair in pairs.values()])
        click.echo(
            f"MMD^2 in integers against {what}, {len(pairs)} pairs of sources: relative error "
            f"median {np.median(relative):.2%}, largest {relative.max():.2%}"
        )
    for name, pair in pairs.items():
        click.echo(f"  {name}: {pair['integer']:.5f} {pair['float']:.5f} {pair['kernel']:.5f}")


if __name__ == "__main__":
    main()
