"""A fitted forest with everything that judging needs, as one file.

``pipeline/data/forest.npz`` is made by ``python -m pipeline.fit.forest``; an operator's own by ``distillwatch refit``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from pipeline.classes.calibration import ClassNull, Survival
from pipeline.detectors.forest.trees import Trees
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FOREST_FILE = Path(__file__).parents[2] / "data" / "forest.npz"
_SAMPLE = ("ranks", "score", "memberships", "weight")
NEUTRAL = 0.5
"""Rank of a signal without a value."""


@dataclass(frozen=True, slots=True)
class NullSample:
    """Some of the benign accounts behind a null, so that further trees can be calibrated without the worlds.

    ``ranks`` uint8[k, signals] are ranks times 255; ``score`` float64[k] by trees fitted without the account's world;
    ``memberships`` float32[k, classes]; ``weight`` float64[k], accounts that each stands for: the highest scores are
    all there, the others are thinned out.
    """

    ranks: NDArray[np.uint8]
    score: NDArray[np.float64]
    memberships: NDArray[np.float32]
    weight: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        ranks: NDArray[np.float64],
        score: NDArray[np.float64],
        memberships: NDArray[np.float64],
        top: float = 0.05,
        most: int = 3000,
        others: int = 2000,
    ) -> NullSample:
        """Of all benign accounts of the worlds: the highest ``top`` of them, at most ``most``, and ``others`` evenly over the rest."""
        order = np.argsort(score, kind="stable")
        cut = len(order) - min(most, round(len(order) * top))
        rest = order[np.unique(np.arange(others) * cut // others)] if cut else order[:0]
        chosen = np.concatenate([rest, order[cut:]])
        weight = np.ones(len(chosen))
        weight[: len(rest)] = cut / max(1, len(rest))
        return cls(
            np.rint(ranks[chosen] * 255).astype(np.uint8),
            score[chosen],
            memberships[chosen].astype(np.float32),
            weight,
        )


def middle(score: NDArray[np.float64]) -> tuple[float, float]:
    """Centre and width of a population's scores: median, and from there to the 85 % quantile.

    Attackers, a few per cent at the top, hardly move either.
    """
    centre, high = (float(value) for value in np.quantile(score, [0.5, 0.85]))
    return centre, max(high - centre, 1e-9)


@dataclass(frozen=True)
class Forest:
    """Trees, the signals they ask for, and scores of benign accounts to hold a score against.

    Parameters
    ----------
    names
        Signals, in the order of the trees' numbers.
    trees
        Fitted to ranks within each account's own world.
    null, standard_null
        Of scores of benign accounts of simulated worlds, each by trees fitted without its world. Of the scores as they are,
        by benign class; and of all of them, standardised in their world by its `middle` (None: that is not looked at).
    agreed
        Of what the two say together, ``-log sqrt(p p')``, of benign accounts of whole worlds that neither trees nor nulls were
        fitted on (None: the mean is taken as it is). The mean of two p-values is none.
    classes
        Fingerprint of the classes that the null's memberships are of.
    sample
        Accounts behind the null.
    fitted
        What it was fitted on: settings, seeds, counts, versions.
    """

    names: tuple[str, ...]
    trees: Trees
    null: ClassNull
    standard_null: Survival | None
    agreed: Survival | None
    classes: str
    sample: NullSample
    fitted: Mapping[str, Any]

    @property
    def margin(self) -> float:
        """What p-values that were looked up in `agreed` are multiplied by: lakes differ more than their mean tells."""
        return float(self.fitted.get("margin", 1.0))

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 over everything in it, in hex."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        head = [
            self.names,
            self.null.to_json(),
            *(None if each is None else each.to_json() for each in (self.standard_null, self.agreed)),
            self.classes,
            dict(self.fitted),
        ]
        text = json.dumps(head, sort_keys=True).encode()
        return {
            "head": np.frombuffer(text, np.uint8),
            **self.trees.arrays(),
            **{f"null_{name}": getattr(self.sample, name) for name in _SAMPLE},
        }

    def save(self, path: Path) -> None:
        """Write it; equal forests give equal arrays."""
        arrays: dict[str, Any] = self._arrays()
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path | IO[bytes]) -> Forest:
        """Read what `save` wrote, a file's content or its name.

        Raises
        ------
        UsageError
            The file is not there, or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            names, null, standard, agreed, classes, fitted = json.loads(arrays.pop("head").tobytes())
            sample = NullSample(**{name: arrays.pop(f"null_{name}") for name in _SAMPLE})
            return cls(
                tuple(names),
                Trees(**arrays),
                ClassNull.from_json(null),
                None if standard is None else Survival.from_json(standard),
                None if agreed is None else Survival.from_json(agreed),
                classes,
                sample,
                fitted,
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            msg = f"{path} is not a fitted forest ({error}); make one with `distillwatch refit` or leave --model out"
            raise UsageError(msg) from error

    def matrix(self, ranks: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Ranks by name as float64[n, signals], neutral where there is no value."""
        columns = [np.nan_to_num(ranks[name], nan=NEUTRAL) for name in self.names]
        return np.stack(columns, axis=1)


@cache
def shipped_forest() -> Forest:
    """The one in `pipeline/data`."""
    return Forest.load(FOREST_FILE)
