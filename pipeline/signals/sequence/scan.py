"""Scan an account's parts for one that works off a list, and give the records that carry it.

A record is *marked* if its prompt is new in the account and unlike the prompt before it in the session (cosine below
the account's median of such pairs). Parts are the records with one value of a property (template, system prompt,
sampling parameters, model, client, network, request for reasoning, topic) or with a topic and a template together.
The statistic of a part is the log-likelihood ratio of a higher share of marks inside than outside
(Kulldorff, Communications in Statistics 26, 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import UNKNOWN, Kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.signals.sequence.base import AccountSequence, Numbers

PROPERTIES = ("template", "system_prompt", "sampling", "model", "agent", "network", "reasoning")
MINIMUM = 10
"""Records that a part must have, and leave outside."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The best part.

    ``excess`` is sqrt(2 LLR), 0 if no part has a higher share of marks than the rest; ``by`` the property;
    ``rows`` bool[n], the records of the part; ``inside`` and ``outside`` the shares of marked records.
    """

    excess: float
    by: str
    rows: NDArray[np.bool_]
    inside: float
    outside: float


def marks(records: AccountSequence) -> NDArray[np.bool_]:
    """Which records look like the next line of a list, bool[n]."""
    n = len(records)
    unlike = np.ones(n, bool)
    rows = np.flatnonzero(np.diff(records.session) == 0)
    if len(rows):
        cosine = records.cosine[rows, rows + 1]
        unlike[rows + 1] = cosine <= np.median(cosine)
    return records.first_time & unlike


def scan(records: AccountSequence) -> Scan:
    """The part with the largest statistic; ties go to the property that is named first, then to the earliest record.

    Parameters
    ----------
    records
        The account.
    """
    kept = vars(records)
    if "scan" not in kept:
        kept["scan"] = _scan(records)
    found: Scan = kept["scan"]
    return found


def _scan(records: AccountSequence) -> Scan:
    n = len(records)
    marked = marks(records)
    best = Scan(0.0, "", np.zeros(n, bool), 0.0, float(marked.mean()) if n else 0.0)
    highest, total = 0.0, int(np.count_nonzero(marked))
    for name, kinds in _properties(records):
        large = np.flatnonzero(
            (kinds.counts >= MINIMUM) & (n - kinds.counts >= MINIMUM) & (kinds.names != UNKNOWN)
        )
        if not len(large):
            continue
        size, first = kinds.counts[large].astype(np.float64), kinds.first[large]
        hits = np.bincount(kinds.inverse, marked, len(kinds.names))[large].astype(np.float64)
        ratio = _ratio(size, hits, n, total)
        group = int(np.lexsort((first, -ratio))[0])
        if ratio[group] > highest + 1e-9:
            highest = float(ratio[group])
            best = Scan(
                float(np.sqrt(2.0 * highest)),
                name,
                kinds.inverse == large[group],
                float(hits[group] / size[group]),
                float((total - hits[group]) / (n - size[group])),
            )
    return best


def _properties(records: AccountSequence) -> Iterator[tuple[str, Kinds]]:
    for name in PROPERTIES:
        yield name, records.kinds(name)
    yield "topic", Kinds.of(records.topic)
    template = records.code("template")
    size = int(template.max(initial=0)) + 2
    both = records.topic * size + template
    yield "topic and template", Kinds.of(np.where(template == UNKNOWN, UNKNOWN, both))


def _ratio(size: Numbers, hits: Numbers, n: int, total: int) -> Numbers:
    """Log-likelihood ratio of two shares against one; 0 where the inside has the lower share."""

    def likelihood(yes: Numbers, of: Numbers) -> Numbers:
        share = yes / np.maximum(of, 1.0)
        no = of - yes
        out: Numbers = yes * np.log(np.where(yes > 0, share, 1.0)) + no * np.log(
            np.where(no > 0, 1 - share, 1.0)
        )
        return out

    rest, outside = n - size, total - hits
    one = likelihood(np.full(1, float(total)), np.full(1, float(n)))
    ratio = likelihood(hits, size) + likelihood(outside, rest) - one
    higher = hits * np.maximum(rest, 1.0) > outside * size
    return np.where(higher, np.maximum(ratio, 0.0), 0.0)
