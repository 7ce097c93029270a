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

from pipeline.signals.words import in_words

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
    out = kernel.copy()
    np.fill_diagonal(out, 0.0)
    row = out.sum(axis=1)
    out -= row[:, None] / (n - 2)
    out -= row[None, :] / (n - 2)
    out += row.sum() / ((n - 1) * (n - 2))
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


@dataclass(frozen=True, slots=True)
class Margins:
    """Sums of the rows and of the columns of a kernel without its diagonal, float64[n]: enough to centre its products.

    ``centred(A)`` need not be written down to be multiplied: it takes the row sums of A from rows and columns. Kernels
    here are symmetric but for the last digit of a cosine, which shows in the ninth digit of a small dependence.
    """

    row: Numbers
    column: Numbers

    @classmethod
    def of(cls, kernel: Numbers) -> Margins:
        """Of a kernel whose diagonal is zero."""
        return cls(kernel.sum(axis=1), kernel.sum(axis=0))

    @classmethod
    def of_features(cls, features: Numbers, square: Numbers) -> Margins:
        """Of ``features @ features.T``; ``square`` is its diagonal."""
        row = features @ features.sum(axis=0) - square
        return cls(row, row)

    def product(self, other: Margins, total: float) -> float:
        """Sum of ``centred(A) * centred(B)``, B symmetric: from ``total``, that of ``A * B`` without the diagonal.

        U-centring is a projection (Szekely & Rizzo, Annals of Statistics 42, 2014): only B has to be centred.
        """
        n = len(self.row)
        once = (self.row @ other.row + self.column @ other.row) / (n - 2)
        return float(total - once + self.row.sum() * other.row.sum() / ((n - 1) * (n - 2)))

    def squared(self, total: float) -> float:
        """Sum of the squares of ``centred(A)``, from ``total``, that of A."""
        n, row, whole = len(self.row), self.row, float(self.row.sum())
        level = whole / ((n - 1) * (n - 2))
        squares = float(row @ row)
        pairs = 2 * (n - 2) * squares + 2 * whole**2
        return float(
            total
            + pairs / (n - 2) ** 2
            + n * (n - 1) * level**2
            - 2 / (n - 2) * (squares + float(self.column @ row))
            + 2 * level * whole
            - 4 * level * (n - 1) * whole / (n - 2)
        )


@dataclass(frozen=True, slots=True)
class Kinds:
    """The different values of n codes, ascending: ``names`` int64[k], ``first`` row, ``counts``; ``inverse`` int64[n]."""

    names: Integers
    first: Integers
    inverse: Integers
    counts: Integers

    @classmethod
    def of(cls, codes: Integers) -> Kinds:
        """Of any codes, `UNKNOWN` a value like others."""
        low, n = int(codes.min(initial=0)), len(codes)
        width = int(codes.max(initial=0)) - low + 1
        if width > 8 * n + 256:
            found = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
            return cls(*(np.asarray(part, np.int64) for part in found))
        # Codes that lie close together are counted instead of sorted.
        place = codes - low
        counts = np.bincount(place, minlength=width)
        names = np.flatnonzero(counts)
        number = np.empty(width, np.int64)
        number[names] = np.arange(len(names))
        inverse = number[place]
        first = np.empty(len(names), np.int64)
        # Of several rows the last one written stays: from the end, that is the first.
        first[inverse[::-1]] = np.arange(n - 1, -1, -1)
        return cls(names + low, first, inverse, counts[names].astype(np.int64))


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

    def kinds(self, name: str) -> Kinds:
        """The values of a field; found once."""
        kept: dict[str, Kinds] = vars(self).setdefault("_kinds", {})
        if name not in kept:
            kept[name] = Kinds.of(self.prompt if name == "prompt" else self.code(name))
        return kept[name]

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
    def content_margins(self) -> Margins:
        """Sums of `centred_content`."""
        return Margins.of(self.centred_content)

    @cached_property
    def squared_content(self) -> float:
        """Sum of the squares of `centred_content`."""
        return float(np.vdot(self.centred_content, self.centred_content))

    @cached_property
    def cosine_sum(self) -> float:
        """Of all pairs, in float64."""
        return float(self.cosine.sum(dtype=np.float64))

    def mean_where(self, pairs: NDArray[np.bool_]) -> float:
        """Mean cosine of marked pairs bool[n, n], of which there are some; summed in float64."""
        count = int(np.count_nonzero(pairs))
        if 2 * count > pairs.size:
            # The fewer ones are added up.
            return (self.cosine_sum - float(self.cosine[~pairs].sum(dtype=np.float64))) / count
        return float(self.cosine[pairs].sum(dtype=np.float64)) / count

    @cached_property
    def mean_cosine(self) -> float:
        """Mean cosine of two different records; NaN below two."""
        n = len(self)
        if n < 2:
            return NAN
        total = self.cosine_sum - float(self.cosine.diagonal().sum(dtype=np.float64))
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
    def later(self) -> NDArray[np.bool_]:
        """bool[n, n]: pairs more than `LATER_US` apart."""
        return self._apart(LATER_US)

    def _apart(self, limit: int) -> NDArray[np.bool_]:
        """bool[n, n]: pairs with ``lag > limit``, from places in the sorted times: small integers, not times."""
        assert len(self) < 2**15, "at most `NEWEST` records of an account are read"
        place = np.arange(len(self)).astype(np.int16)[None, :]
        first = np.searchsorted(self.time, self.time - limit, side="left").astype(np.int16)
        after = np.searchsorted(self.time, self.time + limit, side="right").astype(np.int16)
        out: NDArray[np.bool_] = (place < first[:, None]) | (place >= after[:, None])
        return out

    @cached_property
    def sitting(self) -> NDArray[np.bool_]:
        """bool[n, n]: pairs at most `SESSION_GAP_US` apart, a record and itself among them."""
        return ~self._apart(SESSION_GAP_US)

    @cached_property
    def shown(self) -> NDArray[np.float32]:
        """float32[n, n]: `cosine` of records with different prompts, -2 elsewhere."""
        return np.where(self.other_prompt, self.cosine, np.float32(-2))

    @cached_property
    def nearest(self) -> tuple[Integers, Numbers]:
        """Row of the nearest record with another prompt (ties: the earliest) and its cosine; NaN where there is none."""
        if len(self) == 0:
            return np.empty(0, np.int64), np.empty(0)
        row = self.shown.argmax(axis=1)
        best = self.shown[np.arange(len(self)), row].astype(np.float64)
        return row.astype(np.int64), np.where(best >= -1.5, best, NAN)

    @cached_property
    def multiplicity(self) -> Integers:
        """How often each different prompt was sent, descending."""
        return np.sort(self.kinds("prompt").counts)[::-1]

    @cached_property
    def first_time(self) -> NDArray[np.bool_]:
        """bool[n]: the account had not sent this prompt before."""
        out = np.zeros(len(self), bool)
        out[self.kinds("prompt").first] = True
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
        return in_words(self.says, value)


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


def pairs_among(pairs: NDArray[np.bool_], rows: Integers) -> int:
    """Marked pairs bool[n, n] of which both records are among the ascending rows.

    Examples
    --------
    >>> pairs_among(np.ones((3, 3), bool), np.array([0, 2]))
    4
    """
    return int(np.count_nonzero(pairs if len(rows) == len(pairs) else pairs[rows][:, rows]))


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
