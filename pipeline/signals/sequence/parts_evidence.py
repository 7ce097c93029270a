"""What speaks, record by record and part by part, for a list being worked off rather than people asking.

Record by record: whether the prompt is new in the account, how near the nearest other prompt is within an hour (people
stay with a subject), whether any other prompt is near (a list goes over its ground once), and how often the prompt is
sent. Part by part: the means of these, how alike two of its different prompts are, how often two of them have one
topic, and how far its prompts are from the rest. None of these grows with the size of a part by itself, so that a small
part does not look like a list for being small. Newness depends on when a record was sent; the others do not, and only
they carry weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.signals.sequence.base import Kinds
from pipeline.signals.sequence.exact import on_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.signals.sequence.base import AccountSequence, Numbers

CHANNELS = ("fresh", "near_in_time", "crowded", "again")
"""Of a record."""

FEATURES = (*CHANNELS, "alike", "one_topic", "apart")
"""Of a part."""

CROWDED = 0.7
"""A prompt with another one of this cosine is on crowded ground (as in `region_growth`)."""

NOWHERE = np.float32(0.0)
"""Cosine where there is no other prompt to compare with: nothing like it."""


def channels(records: AccountSequence) -> Numbers:
    """float64[n, CHANNELS], on the grid of `exact`; cosines are clipped below at 0."""
    n = len(records)
    if n == 0:
        return np.zeros((0, len(CHANNELS)))
    within = np.where(records.later, NOWHERE, records.shown).max(axis=1)
    crowded = np.nan_to_num(records.nearest[1], nan=0.0) >= CROWDED
    prompts = records.kinds("prompt")
    again = np.log(prompts.counts[prompts.inverse])
    return on_grid(
        np.stack([records.first_time, np.maximum(within, NOWHERE), crowded, again], axis=1, dtype=np.float64)
    )


def of_parts(records: AccountSequence, per_record: Numbers, rows: NDArray[np.bool_]) -> Numbers:
    """float64[parts, FEATURES], six digits. All sums are exact: of whole numbers, or of multiples of a step.

    Parameters
    ----------
    per_record
        From `channels`.
    rows
        bool[parts, n], none empty.
    """
    weight = rows.astype(np.float64)
    size = weight.sum(axis=1)
    means = weight @ per_record / size[:, None]
    again = _pairs(records.prompt, weight)
    vectors = records.vectors.astype(np.float32)
    # Sums of integers below 2**24: exact in float32.
    sums = (rows.astype(np.float32) @ vectors).astype(np.float64)
    squares = np.einsum("ij,ij->i", vectors, vectors).astype(np.float64)
    whole = np.einsum("ij,ij->i", sums, sums)
    own = weight @ squares
    # Copies of a prompt have about its own square as product: they are no evidence of likeness.
    different = np.maximum(size * (size - 1) - again, 1.0)
    alike = (whole - own * (1 + again / size)) / different / (own / size)
    topic = np.maximum(_pairs(records.topic, weight) - again, 0.0) / different
    rest = vectors.sum(axis=0, dtype=np.float64) - sums
    others = len(records) - size
    outer = np.einsum("ij,ij->i", rest, rest) - (squares.sum() - own)
    per_unit = size / own
    across = np.einsum("ij,ij->i", sums, rest) / np.maximum(size * others, 1.0)
    between = (whole - own) / np.maximum(size * (size - 1), 1.0) + outer / np.maximum(
        others * (others - 1), 1.0
    )
    apart = np.where((others > 1) & (size > 1), between / 2 - across, 0.0) * per_unit
    return np.round(np.column_stack([means, alike, topic, apart]), 6)


def _pairs(codes: NDArray[np.int64], weight: Numbers) -> Numbers:
    """Ordered pairs of different records with one code, part by part, float64[parts]."""
    kinds = Kinds.of(codes)
    order = np.argsort(kinds.inverse, kind="stable")
    order = order[kinds.counts[kinds.inverse[order]] > 1]
    if len(order) == 0:
        return np.zeros(len(weight))
    first = np.flatnonzero(np.diff(kinds.inverse[order], prepend=-1))
    count = np.add.reduceat(weight[:, order], first, axis=1)
    out: Numbers = (count * (count - 1)).sum(axis=1)
    return out
