"""The part of an account that most looks like a list being worked off, the whole account among the parts tried.

Each candidate part has a log-odds of *list* against *people* from how near others are within the hour, how much of
it is crowded ground, how often two of its prompts have one topic, and how often a prompt is sent
(`pipeline.signals.sequence.parts_evidence`). Small parts are shrunk to the account: `PRIOR` records of the account are
added to each. What is compared is a lower bound: from a part's log-odds the excess is taken off that the best of as many
random parts of its size would show, ``s sqrt(m (1 - m/n)) / (m + PRIOR) sqrt(2 ln(parts x sets / CHANCE))`` with s the standard
deviation of the records' own terms and *sets* how many unions of values the part was chosen from. So an account is not
accused for having many parts. Where no bound exceeds the account's own log-odds by `MARGIN`, the
part is the whole account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import NAN, UNKNOWN
from pipeline.signals.sequence.exact import nearest
from pipeline.signals.sequence.parts_candidates import MINIMUM, candidates
from pipeline.signals.sequence.parts_evidence import CHANNELS, FEATURES, channels, of_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.signals.sequence.base import AccountSequence, Integers, Numbers

WEIGHTS: Mapping[str, float] = {"near_in_time": -1.17, "crowded": -1.41, "again": -1.54, "one_topic": -3.94}
"""Log-odds per unit, from ``python -m pipeline.fit.part_weights``: logistic regression on the streams of simulated
worlds, every term held to the direction that it is argued for (people stay, come back, have subjects, ask again). Two
digits, as `INTERCEPT`: in hundredths they are whole numbers."""

INTERCEPT = 1.68

DISTINCT = 1.0
"""What a cosine of distance from the rest is worth in choosing a part: it is then another use, and not a slice of the
same. It accuses nobody: a part's evidence is without it."""

CHANCE = 0.1
"""How often the best of random parts may exceed its bound (union bound on normal tails)."""

MOST_SHARED = 0.1
"""Parts that share more of their records are not different parts."""

MARGIN = 0.1
"""Log-odds by which a part has to stand out; below, it is the account."""

PRIOR = 10
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
    runner_up
        Highest bound of a part that shares at most a tenth of its records with this one; that of the account if there
        is none.
    inside, outside
        `FEATURES` of the part and of the rest; the account's own where there is no rest.
    """

    by: str
    rows: NDArray[np.bool_]
    tried: int
    evidence: float
    bound: float
    account: float
    runner_up: float
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


def hundredths(names: Sequence[str]) -> Integers:
    """`WEIGHTS` of features in hundredths, int64; 0 without one."""
    return np.rint([100.0 * WEIGHTS.get(name, 0.0) for name in names]).astype(np.int64)


def record_terms(per_record: Numbers) -> Numbers:
    """What each record adds to the log-odds by itself, float64[n], nine digits.

    Multiples of a step times hundredths: the sum is exact, and what is rounded depends on no order.
    """
    return np.round(per_record @ hundredths(CHANNELS).astype(np.float64) / 100.0, 9)


def log_odds(features: Numbers, records: Integers) -> Numbers:
    """Log-odds of each part, shrunk to the first, float64[parts], six digits.

    Rounded as the fraction of whole numbers that they are, upwards in the middle: see `pipeline.signals.sequence.exact`.

    Parameters
    ----------
    features
        `of_parts`.
    records
        int64[parts], records of each.
    """
    places = [place for place, name in enumerate(FEATURES) if name in WEIGHTS]
    millionths = np.rint(features[:, places] * 1e6).astype(np.int64)
    weights, both = hundredths([FEATURES[place] for place in places]), records + PRIOR
    shrunk = millionths * records[:, None] + PRIOR * millionths[:1]
    whole = round(100 * INTERCEPT) * 1_000_000 * both + shrunk @ weights
    return nearest(whole, 100 * both) / 1e6


def scores(
    per_record: Numbers, features: Numbers, records: Integers, log_sets: Numbers
) -> tuple[Numbers, Numbers]:
    """Log-odds of each part and their lower bounds, float64[parts], six digits; the first part is the account.

    Parameters
    ----------
    per_record
        `channels` of all records.
    features
        `of_parts`.
    records
        int64[parts], records of each.
    log_sets
        From `candidates`.
    """
    n, size = len(per_record), records.astype(np.float64)
    odds = log_odds(features, records)
    deviation = (
        float(record_terms(per_record).std()) * np.sqrt(size * (1.0 - size / max(1, n))) / (size + PRIOR)
    )
    # Its square is a fraction times a logarithm and a fraction, hence 0 or transcendental: never in the middle.
    chance = np.round(deviation * np.sqrt(2.0 * (np.log(len(size) / CHANCE) + log_sets)), 6)
    return odds, odds - chance


def _find(records: AccountSequence) -> Part:
    n = len(records)
    per_record = channels(records)
    terms = record_terms(per_record)
    if n >= 2 * MINIMUM:
        names, rows, log_sets = candidates(records, terms)
    else:
        names, rows, log_sets = ["whole account"], np.ones((1, n), bool), np.zeros(1)
    features = of_parts(records, per_record, rows)
    odds, bound = scores(per_record, features, rows.sum(axis=1), log_sets)
    best = int((bound + DISTINCT * features[:, FEATURES.index("apart")]).argmax())
    if bound[best] < odds[0] + MARGIN:
        best = 0
    other = np.flatnonzero((rows & rows[best]).sum(axis=1) <= MOST_SHARED * rows.sum(axis=1))
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
        float(bound[best]),
        float(odds[0]),
        float(bound[other].max()) if best and len(other) else float(odds[0]),
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
