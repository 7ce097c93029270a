"""Shipped figures of reference content: a linear score, and kernel means of harvested and of ordinary corpora.

Fitted by ``python -m pipeline.fit.likeness``. They say what an account's prompts are like, and content is not guilt:
tutoring, coding tools and evaluations work honestly on what is harvested. A lake with other embeddings or other
random features than the figures were made with has no value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import readings
from pipeline.signals.base import Population

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.parameters import Parameters
    from pipeline.profiles.table import Profiles
    from pipeline.spaces import EmbeddingSpace

CONTENT = ("harvest_likeness", "nearest_class_mmd2", "harvest_mmd2")
"""Signals of what the content is like, which speak of no behaviour."""

LIKENESS_FILE = Path(__file__).parents[1] / "data" / "likeness.json"


@dataclass(frozen=True, slots=True)
class ReferenceContent:
    """The shipped figures.

    Parameters
    ----------
    model, dimension, parameters
        The embedding space, and the fingerprint of the parameters behind the kernel means.
    weights
        int64[d]; a prompt q scores ``weights . q / unit + offset``, -1 like ordinary corpora, 1 like harvested ones.
    harvests, ordinary
        Records and kernel mean of each reference corpus.
    """

    model: str
    dimension: int
    parameters: str
    weights: NDArray[np.int64]
    unit: int
    offset: float
    harvests: Mapping[str, Population]
    ordinary: Mapping[str, Population]

    def fits(self, space: EmbeddingSpace) -> bool:
        """Whether embeddings of this space can be scored."""
        return (self.model, self.dimension) == (space.model, space.dimension)

    def to_json(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        """As a JSON object."""

        def populations(each: Mapping[str, Population]) -> dict[str, list[int]]:
            return {name: [one.records, *one.kernel_mean] for name, one in each.items()}

        return {
            "model": self.model,
            "dimension": self.dimension,
            "parameters": self.parameters,
            "weights": self.weights.tolist(),
            "unit": self.unit,
            "offset": self.offset,
            "harvests": populations(self.harvests),
            "ordinary": populations(self.ordinary),
            "fitted": dict(fitted),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReferenceContent:
        """What `to_json` gave."""

        def populations(each: Mapping[str, list[int]]) -> dict[str, Population]:
            return {name: Population(sums[0], tuple(sums[1:])) for name, sums in each.items()}

        return cls(
            value["model"],
            value["dimension"],
            value["parameters"],
            np.array(value["weights"], np.int64),
            value["unit"],
            value["offset"],
            populations(value["harvests"]),
            populations(value["ordinary"]),
        )


@cache
def reference_content() -> ReferenceContent:
    """The figures in `pipeline/data`."""
    return ReferenceContent.from_json(json.loads(LIKENESS_FILE.read_text()))


@cache
def _profiles(side: str, parameters: Parameters) -> tuple[Profiles, ...]:
    return tuple(each.profile(parameters) for each in getattr(reference_content(), side).values())


def nearest_mmd2(profiles: Profiles, side: str) -> NDArray[np.float64]:
    """Unbiased MMD^2 to the nearest of the ``harvests`` or of the ``ordinary`` corpora, float64[n]; NaN where undefined."""
    if profiles.parameters.fingerprint != reference_content().parameters or not len(profiles):
        return np.full(len(profiles), np.nan)
    each = [readings.mmd2(profiles, one) for one in _profiles(side, profiles.parameters)]
    nearest: NDArray[np.float64] = np.min(each, axis=0)
    return nearest
