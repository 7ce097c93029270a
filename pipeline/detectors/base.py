"""What a detector is: signals of accounts and a reference in, a judgement with its parts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.detectors.reference import Reference
    from pipeline.signals import Population, SignalTable

# Fewer records say nothing about an account: no score, no alert.
MIN_RECORDS = 50


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of n accounts, in the order they were given.

    Parameters
    ----------
    score
        float64[n], higher means more like an attack; NaN where nothing can be said.
    p_value
        float64[n], probability of such a score or a higher one in the reference, to 24 bits; NaN where there is no score.
    ranks
        float64[n] for each signal, the account's place in the reference, 0 to 1; NaN without a value.
    contributions
        float64[n] for each signal; they add up to the score.
    """

    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    ranks: Mapping[str, NDArray[np.float64]]
    contributions: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        # Powers and logarithms end in other digits on another processor, and an alert says its p-value.
        object.__setattr__(self, "p_value", self.p_value.astype(np.float32).astype(np.float64))

    def __len__(self) -> int:
        return len(self.score)


class Detector(Protocol):
    """Pure and deterministic; an account's judgement depends on it and the reference, not on its neighbours."""

    @property
    def name(self) -> str:
        """Under which its alerts go."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that it was fitted to."""
        ...

    def reference(self, name: str, table: SignalTable, population: Population | None = None) -> Reference:
        """What it needs to know of a population in order to judge by it."""
        ...

    def judge(self, table: SignalTable, reference: Reference) -> Judgement:
        """Judge accounts by a reference."""
        ...


def scorable(table: SignalTable) -> NDArray[np.bool_]:
    """Accounts with records enough."""
    return np.asarray(table.records >= MIN_RECORDS)
