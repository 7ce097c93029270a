"""Fit the reference content: ``python -m pipeline.fit.likeness``.

Reads ``DATA/embeddings/<source>.parquet``; harvested corpora are those that distillers are known to use (instructions,
reasoning, code, tools), ordinary ones are support, assistants, chat, search and evaluation sets. The score is a ridge
regression of the side (1, -1) on single prompts; each side weighs the same, and each source within it. Also ships the
kernel mean of each source (at most `MOST` prompts, evenly spaced). No prompt and no embedding of one is kept.

Prints what the score, and the difference of the two kernel distances, tell about accounts of 50 prompts when their
source was left out: for each harvested source left out together with each ordinary one, the area under the curve
between accounts of the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from pipeline.fit.topics import read_corpora
from pipeline.kernels.kernel_mean import cosines
from pipeline.parameters import AMPLITUDE, Parameters
from pipeline.profiles.schema import FEATURES
from pipeline.signals.base import Population
from pipeline.signals.content import LIKENESS_FILE, ReferenceContent
from pipeline.simulate.content import grid_scale
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.fit.topics import Corpus

    Numbers = NDArray[np.float64]

HARVESTED = ("gorilla_tooluse", "gpteacher_codegen", "gpteacher_roleplay", "gsm8k", "self_instruct")
ORDINARY = ("arena_hard", "banking77", "big_bench_hard", "clinc150", "open_assistant", "snips")
PENALTY = 0.002
MOST = 2000
PROMPTS, ACCOUNTS = 50, 200
# A weight is kept to this fraction of a grid step.
UNIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one source's unit vectors: mean float64[d] and mean product float64[d, d]."""

    mean: Numbers
    product: Numbers

    @classmethod
    def of(cls, vectors: NDArray[np.int8]) -> Sums:
        """Of grid vectors int8[n, d]."""
        unit = vectors.astype(np.float64) / grid_scale(vectors.shape[1])
        return cls(unit.mean(axis=0), unit.T @ unit / len(unit))


def fit(
    sums: Mapping[str, Sums], without: Iterable[str] = (), penalty: float = PENALTY
) -> tuple[Numbers, float]:
    """Weights float64[d] on unit vectors, and the offset."""
    left = set(without)
    sides = [
        [sums[name] for name in side if name in sums and name not in left] for side in (HARVESTED, ORDINARY)
    ]
    high, low = (np.mean([each.mean for each in side], axis=0) for side in sides)
    product = np.mean([np.mean([each.product for each in side], axis=0) for side in sides], axis=0)
    middle = (high + low) / 2
    scatter = product - np.outer(middle, middle)
    weights = np.linalg.solve(scatter + penalty * np.eye(len(middle)), (high - low) / 2)
    return weights, float(-weights @ middle)


def kernel_mean(vectors: NDArray[np.int8], parameters: Parameters) -> Population:
    """Records and the sum of their random features, in the integers of a profile."""
    chosen = vectors[(np.arange(min(len(vectors), MOST)) * len(vectors)) // min(len(vectors), MOST)]
    product = chosen.astype(np.float64) @ parameters.features.astype(np.float64)
    offset = 64 * parameters.phase.astype(np.int32) + 32
    values = cosines(product, offset, parameters.cos_table.astype(np.float64), xp=np)
    return Population(len(chosen), tuple(int(value) for value in values.sum(axis=0)))


def area(high: Numbers, low: Numbers) -> float:
    """Chance that one of ``high`` exceeds one of ``low``."""
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


@dataclass(frozen=True, slots=True)
class Accounts:
    """Means of random prompts of one source: of unit vectors float64[m, d], of features float64[m, 256]."""

    unit: Numbers
    features: Numbers

    @classmethod
    def drawn(cls, vectors: NDArray[np.int8], parameters: Parameters, rng: np.random.Generator) -> Accounts:
        """Each of `PROMPTS` prompts of the source, none twice where it has as many."""
        unit = vectors.astype(np.float64) / grid_scale(vectors.shape[1])
        product = vectors.astype(np.float64) @ parameters.features.astype(np.float64)
        offset = 64 * parameters.phase.astype(np.int32) + 32
        table = parameters.cos_table.astype(np.float64)
        features = cosines(product, offset, table, xp=np) * np.sqrt(2.0 / FEATURES) / AMPLITUDE
        rows = [rng.choice(len(unit), PROMPTS, replace=len(unit) < PROMPTS) for _ in range(ACCOUNTS)]
        return cls(
            np.stack([unit[r].mean(axis=0) for r in rows]), np.stack([features[r].mean(axis=0) for r in rows])
        )


def nearest(accounts: Accounts, references: Sequence[Population]) -> Numbers:
    """Smallest unbiased MMD^2, float64[m]."""
    own = (PROMPTS * (accounts.features**2).sum(axis=1) - 1) / (PROMPTS - 1)
    found = []
    for each in references:
        mean = np.array(each.kernel_mean) / (each.records * AMPLITUDE) * np.sqrt(2.0 / FEATURES)
        other = (each.records * (mean**2).sum() - 1) / (each.records - 1)
        found.append(own + other - 2 * accounts.features @ mean)
    smallest: Numbers = np.min(found, axis=0)
    return smallest


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=LIKENESS_FILE)
@click.option("--seed", default=1, show_default=True)
def command(data: Path, output: Path, seed: int) -> None:
    """Fit, measure with sources left out, and write the figures."""
    console = Console()
    corpora: dict[str, Corpus] = {each.name: each for each in read_corpora(data / "embeddings")}
    parameters = Parameters.default()
    known = [name for name in (*HARVESTED, *ORDINARY) if name in corpora]
    sums = {name: Sums.of(corpora[name].vectors) for name in known}
    means = {name: kernel_mean(corpora[name].vectors, parameters) for name in known}
    _measure(console, corpora, sums, means, parameters, seed)
    weights, offset = fit(sums)
    space = EmbeddingSpace(dimension=len(weights))
    content = ReferenceContent(
        space.model,
        space.dimension,
        parameters.fingerprint,
        np.rint(weights / grid_scale(len(weights)) * UNIT).astype(np.int64),
        UNIT,
        round(offset, 9),
        {name: means[name] for name in HARVESTED if name in means},
        {name: means[name] for name in ORDINARY if name in means},
    )
    fitted = {"penalty": PENALTY, "prompts": {name: len(corpora[name].vectors) for name in known}}
    output.write_text(json.dumps(content.to_json(fitted), separators=(",", ":")) + "\n")


def _measure(
    console: Console,
    corpora: Mapping[str, Corpus],
    sums: Mapping[str, Sums],
    means: Mapping[str, Population],
    parameters: Parameters,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    drawn = {name: Accounts.drawn(corpora[name].vectors, parameters, rng) for name in sums}
    high = [name for name in HARVESTED if name in sums]
    low = [name for name in ORDINARY if name in sums]
    scores, distances = np.zeros((len(high), len(low))), np.zeros((len(high), len(low)))
    for i, bad in enumerate(high):
        for j, good in enumerate(low):
            weights, _ = fit(sums, (bad, good))
            scores[i, j] = area(drawn[bad].unit @ weights, drawn[good].unit @ weights)
            sides = [[means[name] for name in side if name not in {bad, good}] for side in (high, low)]
            nearer = [nearest(drawn[name], sides[1]) - nearest(drawn[name], sides[0]) for name in (bad, good)]
            distances[i, j] = area(nearer[0], nearer[1])
    for title, areas in (("harvest_likeness", scores), ("nearest_class_mmd2 - harvest_mmd2", distances)):
        shown = Table(title=f"{title}: accounts of {PROMPTS} prompts, both sources left out")
        for heading in ("harvested", *low, "mean"):
            shown.add_column(heading)
        for name, row in zip(high, areas, strict=True):
            shown.add_row(name, *(f"{value:.2f}" for value in row), f"{row.mean():.2f}")
        shown.add_row("mean", *(f"{value:.2f}" for value in areas.mean(axis=0)), f"{areas.mean():.2f}")
        console.print(shown)


if __name__ == "__main__":
    command()
