"""The part of an account that most looks like a list being worked off, the whole account among the parts tried.

Each candidate part has a log-odds of *list* against *people* from how many prompts are new, how near others are
within the hour, how much of it is covered ground, and how often two of its prompts have one topic
(`pipeline.signals.sequence.parts_evidence`). Small parts are shrunk to the account: `PRIOR` records of the account are
added to each. What is compared is a lower bound: from a part's log-odds the largest excess is taken off that the best
of as many random parts of its size would show, ``s sqrt(2 ln parts / m)`` with s the standard deviation of the records'
own terms. So an account is not accused for having many parts, and the whole account wins where no part stands out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, UNKNOWN
from pipeline.signals.sequence.parts_candidates import MINIMUM, candidates
from pipeline.signals.sequence.parts_evidence import CHANNELS, FEATURES, channels, of_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.signals.sequence.base import AccountSequence, Integers, Numbers

WEIGHTS: Mapping[str, float] = {"fresh": 3.2, "near_in_time": -1.1, "covered": -1.65, "one_topic": -3.9}
"""Log-odds per unit, from ``python -m pipeline.fit.part_weights``: logistic regression on the streams of simulated
worlds, every term held to the direction that it is argued for (people stay, come back, have subjects, ask again)."""

INTERCEPT = -1.5

PRIOR = 10.0
"""Records of the account that are added to each part."""


@dataclass(frozen=True, slots=True)
class Part:
    """The part found.

    Parameters
    ----------
    by
        What its records have in common; ``whole account`` if no part stands out.
    rows
        bool[n].
    tried
        Parts that were compared.
    evidence
        Log-odds of the part, shrunk.
    bound
        The same less the excess that chance allows the best of so many parts.
    account
        Log-odds of the whole account.
    inside, outside
        `FEATURES` of the part and of the rest; the account's own where there is no rest.
    """

    by: str
    rows: NDArray[np.bool_]
    tried: int
    evidence: float
    bound: float
    account: float
    inside: Mapping[str, float]
    outside: Mapping[str, float]

    @property
    def is_whole(self) -> bool:
        """No part stands out."""
        return bool(self.rows.all())


def part_of(records: AccountSequence) -> Part:
    """The part with the highest bound; ties go to the part tried first. Kept with the records, found once.

    Parameters
    ----------
    records
        The account; fewer than 2 `MINIMUM` records have no part but the whole.
    """
    kept = vars(records)
    if "part_of" not in kept:
        kept["part_of"] = _find(records)
    found: Part = kept["part_of"]
    return found


def slopes() -> Numbers:
    """`WEIGHTS` in the order of `FEATURES`."""
    return np.array([WEIGHTS.get(name, 0.0) for name in FEATURES])


def record_terms(per_record: Numbers) -> Numbers:
    """What each record adds to the log-odds by itself, float64[n], nine digits."""
    return np.round(per_record @ slopes()[: len(CHANNELS)], 9)


def _find(records: AccountSequence) -> Part:
    n = len(records)
    per_record = channels(records)
    terms = record_terms(per_record)
    if n >= 2 * MINIMUM:
        names, rows = candidates(records, terms)
    else:
        names, rows = ["whole account"], np.ones((1, n), bool)
    features = of_parts(records, per_record, rows)
    size = rows.sum(axis=1)[:, None].astype(np.float64)
    shrunk = (features * size + PRIOR * features[:1]) / (size + PRIOR)
    odds = np.round(INTERCEPT + shrunk @ slopes(), 6)
    chance = np.round(float(terms.std()) * np.sqrt(2.0 * np.log(len(names)) / size[:, 0]), 6)
    chance[0] = 0.0
    best = int((odds - chance).argmax())
    inside = dict(zip(FEATURES, features[best].tolist(), strict=True))
    outside = inside
    if best:
        rest = of_parts(records, per_record, ~rows[best : best + 1])
        outside = dict(zip(FEATURES, rest[0].tolist(), strict=True))
    return Part(
        names[best],
        rows[best],
        len(names),
        float(odds[best]),
        float(odds[best] - chance[best]),
        float(odds[0]),
        inside,
        outside,
    )


def inside(records: AccountSequence, name: str) -> float:
    """A feature of the part."""
    return part_of(records).inside[name]


def beyond(records: AccountSequence, name: str) -> float:
    """A feature of the part less that of the rest; 0 for a whole account."""
    part = part_of(records)
    return part.inside[name] - part.outside[name]


def known_inside(records: AccountSequence, values: Integers) -> Integers:
    """Known values of the part's records."""
    mine: Integers = values[part_of(records).rows]
    known: Integers = mine[mine != UNKNOWN]
    return known


def mean_or_nan(values: Numbers) -> float:
    """Mean, NaN of nothing."""
    return float(values.mean()) if len(values) else NAN
