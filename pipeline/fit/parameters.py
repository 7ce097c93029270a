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
from pipeline.kernels.kernel_mean import PHASES, SCALE_BITS
from pipeline.parameters import AMPLITUDE, Parameters
from pipeline.profiles.schema import FEATURES
from pipeline.spaces import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy.typing as npt

MEDIAN_ROWS = 400
"""Rows of each source between which distances are measured."""


def median_distance(corpus: Corpus, rows: int = MEDIAN_ROWS) -> float:
    """Median Euclidean distance of two unit embeddings, to three decimals; at most ``rows`` of each source.

    Distances come from exact integer products; three decimals keep a last bit of the square root out of W.
    """
    sample = corpus.balanced(rows).vectors.astype(np.float32)
    upper = np.triu_indices(len(sample), k=1)
    products = (sample @ sample.T)[upper].astype(np.float64)
    return round(float(np.sqrt(np.median(2.0 - 2.0 * products / corpus.space.norm2))), 3)


def kernel_mean_error(corpus: Corpus, parameters: Parameters) -> dict[str, dict[str, float]]:
    """MMD^2 between pairs of sources: integer features, float features of the same frequencies, exact kernel.

    All three are the biased (V-statistic) estimate on the same records.
    """
    frequency = parameters.features.astype(np.float64) * (2.0 * np.pi / (PHASES << SCALE_BITS))
    phase = parameters.phase.astype(np.float64) * (2.0 * np.pi / PHASES)
    means: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = {}
    for name in corpus.names:
        rows = corpus.rows_of(name).astype(np.float64)
        turns = rows @ parameters.features.astype(np.float64)
        index = (((turns.astype(np.int64) + 32) >> SCALE_BITS) + parameters.phase) & (PHASES - 1)
        integer = parameters.cos_table[index].astype(np.int64).sum(axis=0) / (len(rows) * AMPLITUDE)
        means[name] = (integer, np.cos(rows @ frequency + phase).mean(axis=0))
    out = {}
    for one, two in itertools.combinations(corpus.names, 2):
        whole, real = (2.0 / FEATURES * float(((means[one][i] - means[two][i]) ** 2).sum()) for i in (0, 1))
        out[f"{one} / {two}"] = {"integer": whole, "float": real, "relative_error": abs(whole - real) / real}
    return out


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
    errors = kernel_mean_error(corpus, parameters)
    relative = np.array([pair["relative_error"] for pair in errors.values()])
    click.echo(
        f"MMD^2, integer against float, {len(errors)} pairs of sources: relative error "
        f"median {np.median(relative):.5f}, largest {relative.max():.5f}"
    )
    for pair, value in errors.items():
        click.echo(f"  {pair}: {value['integer']:.6f} {value['float']:.6f}")


if __name__ == "__main__":
    main()
