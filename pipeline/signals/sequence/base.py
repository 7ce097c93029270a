"""What a sequence signal is: one number of an account's newest records, in order of time.

Nothing here depends on how the records arrived: they are sorted by (event time, request id) before anything is read.
Sums of products of grid vectors are exact; what remains is float64, rounded to nine digits so that the number of
threads of a matrix library cannot show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]

NEWEST = 2000
"""At most so many records of an account are read, the newest ones."""

SESSION_GAP_US = 600_000_000
"""A session ends where the account is silent for ten minutes. Long pauses inside a chat split it; a program that never
pauses has one session."""

LATER_US = 3_600_000_000
"""Records further apart than this are never of one sitting, whatever other streams run beside them."""

NAN = float("nan")

UNKNOWN = -1
"""Code of a value that is not there."""


COMPARED = 500
"""Records that statistics of all pairs with other properties read, evenly spaced: their cost grows with the square."""


def centred(kernel: Numbers) -> Numbers:
    """U-centred: rows and columns without the diagonal sum to zero, the diagonal is zero; float64[n, n], n > 2."""
    n = len(kernel)
    free = kernel - np.diag(np.diag(kernel))
    row = free.sum(axis=1)
    out: Numbers = free - row[:, None] / (n - 2) - row[None, :] / (n - 2) + row.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0.0)
    return out


def spaced(rows: Integers, limit: int) -> Integers:
    """At most ``limit`` of the rows, evenly spaced.

    Examples
    --------
    >>> spaced(np.arange(10), 4)
    array([0, 2, 5, 7])
    """
    return rows if len(rows) <= limit else rows[np.arange(limit) * len(rows) // limit]


@dataclass(frozen=True)
class AccountSequence:
    """At most `NEWEST` records of one account, sorted by (event time, request id).

    Parameters
    ----------
    vectors
        int8[n, d] on the grid.
    time
        int64[n], microseconds since 1970, not descending.
    topic
        int64[n], cell of the shipped codebook.
    codes
        int64[n] per field (``prompt``, ``template``, ``system_prompt``, ``sampling``, ``model``, ``network``,
        ``agent``, ``reasoning``, ``language``): equal codes are equal values, `UNKNOWN` is null. Nothing may depend
        on which code a value has.
    numbers
        int64[n] per field (``input_tokens``, ``output_tokens``), `UNKNOWN` where null.
    """

    vectors: NDArray[np.int8]
    time: Integers
    topic: Integers
    codes: Mapping[str, Integers] = field(default_factory=dict)
    numbers: Mapping[str, Integers] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def code(self, name: str) -> Integers:
        """Codes of a field; all unknown if the log does not have it."""
        found = self.codes.get(name)
        return np.full(len(self), UNKNOWN, np.int64) if found is None else found

    def number(self, name: str) -> Integers:
        """Values of a field; all unknown if the log does not have it."""
        found = self.numbers.get(name)
        return np.full(len(self), UNKNOWN, np.int64) if found is None else found

    @cached_property
    def prompt(self) -> Integers:
        """Codes of prompts; where the log has no prompt hash, equal embeddings are equal prompts."""
        known = self.code("prompt")
        if (known != UNKNOWN).all():
            return known
        rows = np.ascontiguousarray(self.vectors).view(f"V{self.vectors.shape[1]}").reshape(-1)
        seen: dict[bytes, int] = {}
        by_vector = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in rows], np.int64)
        return np.where(known == UNKNOWN, by_vector + int(known.max(initial=0)) + 1, known)

    @cached_property
    def session(self) -> Integers:
        """Number of each record's session, from 0."""
        return np.cumsum(np.diff(self.time, prepend=self.time[:1]) > SESSION_GAP_US)

    @cached_property
    def cosine(self) -> NDArray[np.float32]:
        """Cosines of all pairs, float32[n, n]: an exact product, divided by exact lengths."""
        x = self.vectors.astype(np.float32)
        product: NDArray[np.float32] = x @ x.T
        length = np.sqrt(np.maximum(product.diagonal(), 1.0))
        product /= length[:, None]
        product /= length[None, :]
        return product

    @cached_property
    def centred_content(self) -> Numbers:
        """U-centred cosines of at most `COMPARED` evenly spaced records, float64."""
        rows = spaced(np.arange(len(self)), COMPARED)
        return centred(self.cosine[np.ix_(rows, rows)].astype(np.float64))

    @cached_property
    def mean_cosine(self) -> float:
        """Mean cosine of two different records; NaN below two."""
        n = len(self)
        if n < 2:
            return NAN
        total = float(self.cosine.sum(dtype=np.float64)) - float(self.cosine.diagonal().sum(dtype=np.float64))
        return total / (n * (n - 1))

    @cached_property
    def other_prompt(self) -> NDArray[np.bool_]:
        """bool[n, n]: pairs of records with different prompts; copies say nothing about neighbours in content."""
        out: NDArray[np.bool_] = self.prompt[:, None] != self.prompt[None, :]
        return out

    @cached_property
    def lag(self) -> Integers:
        """int64[n, n], microseconds between two records."""
        out: Integers = np.abs(self.time[:, None] - self.time[None, :])
        return out

    @cached_property
    def nearest(self) -> tuple[Integers, Numbers]:
        """Row of the nearest record with another prompt (ties: the earliest) and its cosine; NaN where there is none."""
        if len(self) == 0:
            return np.empty(0, np.int64), np.empty(0)
        shown = np.where(self.other_prompt, self.cosine, np.float32(-2))
        row = shown.argmax(axis=1)
        best = shown[np.arange(len(self)), row].astype(np.float64)
        return row.astype(np.int64), np.where(best >= -1.5, best, NAN)

    @cached_property
    def multiplicity(self) -> Integers:
        """How often each different prompt was sent, descending."""
        return np.sort(np.unique(self.prompt, return_counts=True)[1])[::-1]

    @cached_property
    def first_time(self) -> NDArray[np.bool_]:
        """bool[n]: the account had not sent this prompt before."""
        out = np.zeros(len(self), bool)
        out[np.unique(self.prompt, return_index=True)[1]] = True
        return out

    @cached_property
    def log_gaps(self) -> Numbers:
        """Natural logarithm of the seconds between consecutive records, float64[n - 1]; at least a millisecond."""
        return np.log(np.maximum(np.diff(self.time), 1000) / 1e6)


@dataclass(frozen=True, slots=True)
class SequenceSignal:
    """One signal of `AccountSequence`; fields as in `pipeline.signals.base.Signal`.

    ``minimum`` records are needed; below, and wherever ``compute`` says NaN, there is no value.
    """

    name: str
    units: str
    formula: str
    source: str
    sees: str
    misses: str
    says: str
    compute: Callable[[AccountSequence], float]
    minimum: int = 20

    def value(self, records: AccountSequence) -> float:
        """The signal's value, NaN where it is not defined."""
        if len(records) < self.minimum:
            return NAN
        return rounded(self.compute(records))

    def sentence(self, value: float) -> str:
        """The value in words."""
        return self.says.format(value=value)


def rounded(value: float) -> float:
    """Nine significant digits; NaN for what is not finite.

    Examples
    --------
    >>> rounded(0.12345678949), rounded(float("inf"))
    (0.123456789, nan)
    """
    return float(f"{value:.9g}") if math.isfinite(value) else NAN


def expected_distinct(counts: Integers, size: int) -> float:
    """Expected number of different kinds among ``size`` of the records (Hurlbert, Ecology 52, 1971).

    Examples
    --------
    >>> expected_distinct(np.array([1, 1]), 1), expected_distinct(np.array([2, 2]), 2)
    (1.0, 1.666666667)
    """
    n = int(counts.sum())
    if not 0 < size <= n:
        return NAN
    # log of C(n - c, size) / C(n, size); choosing size out of fewer than size is impossible.
    kinds, times = np.unique(counts, return_counts=True)
    total = 0.0
    for count, how_many in zip(kinds.tolist(), times.tolist(), strict=True):
        missing = 0.0
        if n - count >= size:
            missing = math.exp(
                math.lgamma(n - count + 1)
                - math.lgamma(n - count - size + 1)
                - math.lgamma(n + 1)
                + math.lgamma(n - size + 1)
            )
        total += how_many * (1.0 - missing)
    # Logarithms of factorials leave noise in the twelfth digit, which must not tell equal accounts apart.
    return round(total, 9)


def same_pairs(codes: Integers) -> float:
    """Share of all pairs of known records that have equal codes; NaN below two.

    Examples
    --------
    >>> same_pairs(np.array([1, 1, 2, -1]))
    0.3333333333333333
    """
    counts = np.unique(codes[codes != UNKNOWN], return_counts=True)[1].astype(np.float64)
    n = float(counts.sum())
    return float((counts * (counts - 1)).sum() / (n * (n - 1))) if n >= 2 else NAN
