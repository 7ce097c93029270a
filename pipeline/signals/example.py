"""One small profile from a few fields: for the examples of the signals and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.parameters import Parameters
from pipeline.profiles.schema import ASKABLE_FIELDS, CELL_OFFSETS, LIGHT_FIELDS
from pipeline.signals.base import Population

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.profiles.table import Profiles


def example(
    *,
    askable: Mapping[str, Mapping[int, int]] | None = None,
    distinct: Mapping[str, int] | None = None,
    parameters: Parameters | None = None,
    **light: int,
) -> Profiles:
    """A profile of the account ``a``.

    Parameters
    ----------
    askable
        Counts per cell of askable fields.
    distinct
        How many different values (below 64) a sketch has seen.
    parameters
        Default: the shipped ones.
    light
        Light fields.
    """
    parameters = parameters or Parameters.default()
    profile = Population(light.get("records", 0), (0,) * 256).profile(parameters)
    for name, value in light.items():
        profile.light[0, LIGHT_FIELDS.index(name)] = value
    for name, cells in (askable or {}).items():
        for cell, count in cells.items():
            assert cell < ASKABLE_FIELDS[name]
            profile.cells[0, CELL_OFFSETS[name] + cell] = count
    for name, count in (distinct or {}).items():
        profile.distinct[name][0, :count] = np.arange(1, count + 1, dtype=np.uint64) << np.uint64(50)
    return profile.replace_keys(np.array(["a"], object), np.zeros(1, np.int64))
