"""What a signal is: one named number of an account, with its formula, source, reach and blind spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.profiles.schema import FEATURES
from pipeline.profiles.table import Profiles
from pipeline.signals.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.parameters import Parameters

    Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """All records that accounts are compared with, as integers: ``records`` and ``kernel_mean`` int[256]."""

    records: int
    kernel_mean: tuple[int, ...]

    @classmethod
    def of(cls, profiles: Profiles) -> Population:
        """The sum of profiles."""
        return cls(int(profiles.records.sum()), tuple(int(v) for v in profiles.kernel_mean.sum(axis=0)))

    def plus(self, other: Population) -> Population:
        """Both together."""
        sums = (a + b for a, b in zip(self.kernel_mean, other.kernel_mean, strict=True))
        return Population(self.records + other.records, tuple(sums))

    @classmethod
    def empty(cls) -> Population:
        """Nobody."""
        return cls(0, (0,) * FEATURES)

    def profile(self, parameters: Parameters) -> Profiles:
        """As one profile, of which only `records` and `kernel_mean` mean anything; to be read, or filled in."""
        blank = Profiles.empty(parameters)
        light = np.zeros((1, blank.light.shape[1]), np.int64)
        light[0, 0] = self.records
        return Profiles(
            parameters=parameters,
            account_id=np.array([""], object),
            window_start=np.zeros(1, np.int64),
            light=light,
            cells=np.zeros((1, blank.cells.shape[1]), np.int64),
            embedding_sum=np.zeros((1, blank.embedding_sum.shape[1]), np.int64),
            moment=np.zeros((1, blank.moment.shape[1]), np.int64),
            kernel_mean=np.array([self.kernel_mean], np.int64),
            hashes=np.full((1, *blank.hashes.shape[1:]), np.uint64(2**64 - 1)),
        )


@dataclass(frozen=True, slots=True)
class Context:
    """What a signal may know beside the account's own profile.

    ``population`` None: signals that compare with it have no value.
    """

    population: Population | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal.

    Parameters
    ----------
    name
        Column name in `account_scores`.
    units
        What it counts in.
    formula
        From the fields of a profile.
    source
        Publication, or the document of this project that measured it.
    sees, misses
        What moves it, and what does not although one might hope so.
    says
        Sentence about one value; ``{value}`` is filled in.
    compute
        float64[n] from n profiles (one per account); NaN where the profile cannot say.
    needs_population
        Whether it compares with `Context.population`; such a signal reads `records` and `kernel_mean` alone.
    """

    name: str
    units: str
    formula: str
    source: str
    sees: str
    misses: str
    says: str
    compute: Callable[[Profiles, Context], Numbers]
    needs_population: bool = False

    def sentence(self, value: float) -> str:
        """The value in words."""
        return in_words(self.says, value)


def slim(profiles: Profiles) -> Profiles:
    """The same accounts with `records` and `kernel_mean` alone: 2 kB each, so that a whole lake can be held."""
    return slim_of(
        profiles.parameters,
        profiles.account_id.copy(),
        profiles.window_start.copy(),
        profiles.records,
        profiles.kernel_mean.copy(),
    )


def slim_of(
    parameters: Parameters,
    account_id: NDArray[np.object_],
    window_start: NDArray[np.int64],
    records: NDArray[np.int64],
    kernel_mean: NDArray[np.int64],
) -> Profiles:
    """What `slim` gives, from its parts: handed to another process, the empty rest would not be empty any more."""
    blank = Profiles.empty(parameters)
    n = len(account_id)

    def nothing(array: NDArray[np.integer]) -> NDArray[np.int64]:
        return np.broadcast_to(np.zeros((), np.int64), (n, *array.shape[1:]))

    light = np.zeros((n, blank.light.shape[1]), np.int64)
    light[:, 0] = records
    return Profiles(
        parameters=parameters,
        account_id=account_id,
        window_start=window_start,
        light=light,
        cells=nothing(blank.cells),
        embedding_sum=nothing(blank.embedding_sum),
        moment=nothing(blank.moment),
        kernel_mean=kernel_mean,
        hashes=np.broadcast_to(np.uint64(2**64 - 1), (n, *blank.hashes.shape[1:])),
    )


def share(profiles: Profiles, field: str) -> Numbers:
    """A light counter over records; NaN without records."""
    n = profiles.records.astype(np.float64)
    return np.where(n > 0, profiles.column(field) / np.maximum(n, 1.0), np.nan)


def first(values: Numbers) -> float:
    """The first value, rounded to four digits: for the examples."""
    return round(float(values[0]), 4)
