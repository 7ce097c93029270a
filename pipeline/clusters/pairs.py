"""What can be said of two accounts: named numbers, none of which needs more than their profiles.

Each is NaN where it cannot be said (a field that was not sent, too few records): that is no evidence either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.kernels.distinct import PADDING
from pipeline.profiles.accounts import NEVER
from pipeline.profiles.schema import DISTINCT_FIELDS, SKETCH
from pipeline.signals.lake.base import overlaps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.clusters.ties import AccountTies

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]
Floats = NDArray[np.float32]

RARE = 32
"""A client network that more accounts use is everybody's."""

RARE_PAYMENT = 128
"""A payment id that more accounts use says nothing of two of them."""

MIN_COHERENCE = 0.02
"""Below this mean pairwise cosine an account points nowhere, and dividing by it would make noise look alike."""

MIN_EXCESS = 0.1
"""Topic shares whose squared distance from the lake's (chi-square, noise taken out) is below this say nothing."""

MOST_FACTOR = 3.0
"""Screening corrects no cosine by more."""

FEWEST = 5
"""Accounts with fewer records are not compared."""

LIFTED = {
    "same_sampling": "sampling_hashed_count",
    "same_templates": "template_hashed_count",
    "same_system_prompts": "system_prompt_hashed_count",
    "same_agents": "user_agent_hashed_count",
    "same_networks": "client_network_hashed_count",
    "same_models": "model_hashed_count",
    "same_inputs": "input_tokens_histogram",
    "same_outputs": "output_tokens_histogram",
    "same_latency": "latency_histogram",
    "same_hours": "hour_histogram",
    "same_topics": "topic_count",
}
_FLAGS = (
    "reasoning_requested",
    "logprobs",
    "multiple_choices",
    "streamed",
    "errors",
    "refusals",
    "other_language",
)
_BLOCK = 8192
_LEAST = 1e-3
_SMOOTH = 0.1


@dataclass(frozen=True, slots=True)
class PairSignal:
    """One number of a pair: its ``name``, ``formula``, and in words what it ``says``."""

    name: str
    formula: str
    says: str


_LIFT = "log of (sum p q + .001) / sqrt((sum p m + .001) (sum q m + .001)), p and q the two accounts' shares of {field}, m the lake's mean"

PAIR_SIGNALS: dict[str, PairSignal] = {
    signal.name: signal
    for signal in (
        PairSignal(
            "cosine", "c_12 / sqrt(c_1 c_2), cosines of records' means, noise taken out", "mean prompts alike"
        ),
        PairSignal(
            "centred_cosine", "the same with the lake's mean subtracted", "prompts unlike the lake's, alike"
        ),
        PairSignal(
            "kernel_cosine",
            "the same of mean random features, the lake's mean subtracted",
            "distributions of prompts alike",
        ),
        PairSignal(
            "kernel_distance",
            "unbiased squared MMD of the two accounts' prompts",
            "distance of the distributions of prompts",
        ),
        PairSignal(
            "topic_cosine",
            "the same of topic shares, each less the lake's and over its root, own pairs of different records",
            "topics unlike the lake's, alike",
        ),
        PairSignal(
            "topic_distance",
            "(X - f) / (2 n_1 n_2 / (n_1 + n_2)), X the chi-square of both topic counts coming from one distribution, f its degrees of freedom",
            "distance of the topics",
        ),
        PairSignal(
            "topic_excess", "(X - f) / sqrt(2 f), signed square root", "topics differ more than chance"
        ),
        PairSignal(
            "overlap",
            "Jaccard similarity of the prompts, from bottom-64 sketches",
            "share of prompts in common",
        ),
        PairSignal(
            "overlap_deficit",
            "(e - overlap) / sqrt(e (1 - e) / 64 + .001), e the overlap of two users who draw from one pool as large as the larger of both pools, each pool from d = m (1 - exp(-n / m))",
            "prompts in common missing, against two users of one pool",
        ),
        PairSignal(
            "template_overlap", "Jaccard similarity of the templates, from sketches", "templates in common"
        ),
        PairSignal(
            "rare_networks",
            f"log(1 + shared client networks that at most {RARE} accounts use)",
            "shared rare networks",
        ),
        PairSignal(
            "shared_payment",
            f"1 if they share a payment id that at most {RARE_PAYMENT} accounts use",
            "shared payment",
        ),
        *(
            PairSignal(
                name, _LIFT.format(field=field), f"{name.removeprefix('same_')} agree more than chance"
            )
            for name, field in LIFTED.items()
        ),
        PairSignal(
            "flag_distance",
            "log(1 + mean over flags of z^2), z two-sample statistics of the shares of " + ", ".join(_FLAGS),
            "difference of habits",
        ),
        PairSignal(
            "repeat_difference",
            "|d_1 / n_1 - d_2 / n_2|, distinct prompts a record",
            "difference of repeat rates",
        ),
        PairSignal(
            "synchrony",
            "correlation of log(1 + records per hour), the lake's mean per hour removed",
            "activity in the same hours",
        ),
        PairSignal(
            "pivot_gap",
            "|log((1 + t_1) / (1 + t_2))|, hours from the release of a new model to each account's first use; 5 if only one uses it",
            "difference of the moves to a new model",
        ),
        PairSignal("least_records", "log10 of the smaller number of records", "records"),
        PairSignal("size_ratio", "|log(n_1 / n_2)|", "difference of sizes"),
    )
}


def distinct_counts(hashes: NDArray[np.uint64]) -> Numbers:
    """Estimated distinct values of sketches uint64[n, 64]; as `pipeline.readings.distinct_count`."""
    kept = (hashes != PADDING).sum(axis=1)
    largest = hashes[:, -1].astype(np.float64) + 1.0
    return np.where(kept < SKETCH, kept.astype(np.float64), (SKETCH - 1) * 2.0**64 / largest)


_GRID = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 400)])
_SEEN = np.concatenate([[1.0], -np.expm1(-_GRID[1:]) / _GRID[1:]])


def pool_sizes(distinct: Numbers, records: Numbers) -> Numbers:
    """Size m of the pool from which n draws give d distinct values, d = m (1 - exp(-n / m)); infinite without repeats.

    Examples
    --------
    >>> pool_sizes(np.array([63.2]), np.array([100.0])).round().tolist()
    [100.0]
    """
    ratio = np.clip(distinct / np.maximum(records, 1.0), _SEEN[-1], 1.0)
    x = np.interp(-ratio, -_SEEN, _GRID)
    return np.where(x > 1e-3, records / np.maximum(x, 1e-3), np.inf)


def expected_overlap(one: Numbers, two: Numbers, pool: Numbers) -> Numbers:
    """Jaccard similarity of two users with ``one`` and ``two`` distinct prompts out of a pool, on average."""
    shared = np.where(np.isinf(pool), 0.0, one * two / np.maximum(pool, 1.0))
    shared = np.minimum(shared, np.minimum(one, two))
    return shared / np.maximum(one + two - shared, 1.0)


class PairReader:
    """Reads the signals of pairs of one lake's accounts.

    Parameters
    ----------
    ties
        The accounts.
    payments
        Payment ids of accounts.
    """

    def __init__(self, ties: AccountTies, payments: Mapping[str, Sequence[str]]) -> None:
        self.ties = ties
        self.records = np.maximum(ties.records, 1).astype(np.float64)
        self.centroid = debiased(self._means, ties.records, norm2(ties))
        self.rare_networks = _rare(ties.hashes[:, DISTINCT_FIELDS.index("client_network_distinct")])
        self.rare_payments, self._pays = _payment_matrix(ties, payments)
        prompts = ties.hashes[:, DISTINCT_FIELDS.index("prompt_distinct")]
        self._distinct = distinct_counts(prompts)
        self._pool = pool_sizes(self._distinct, _known_prompts(ties, self._distinct))

    def prepare(self) -> None:
        """Compute what all pairs need, so that threads only read."""
        for name in (
            "lifted",
            "kernel",
            "centred",
            "topics",
            "_busy",
            "_self_kernel",
            "_pivot",
            "_repeated",
            "_networks_known",
            "_topic_total",
        ):
            getattr(self, name)

    @cached_property
    def _networks_known(self) -> NDArray[np.bool_]:
        return np.asarray(self.ties.field("client_network_hashed_count").any(axis=1), bool)

    @cached_property
    def lifted(self) -> dict[str, tuple[NDArray[np.float32], Numbers, NDArray[np.bool_]]]:
        """Per field: shares float32[n, size], agreement with the lake's mean float64[n], who has it."""
        out = {}
        for name, field in LIFTED.items():
            counts = self.ties.field(field).astype(np.float32)
            total = counts.sum(axis=1)
            have = total > 0
            shares = (counts / np.maximum(total, 1.0)[:, None]).astype(np.float32)
            mean = shares[have].astype(np.float64).mean(axis=0) if have.any() else np.zeros(shares.shape[1])
            out[name] = shares, (shares * mean.astype(np.float32)).sum(axis=1, dtype=np.float64), have
        return out

    @cached_property
    def kernel(self) -> tuple[NDArray[np.float32], Numbers]:
        """Centred mean features of length 1 and the factor that corrects their cosine."""
        return debiased(
            centred(self.ties.kernel, self.ties.records), self.ties.records, None, self.ties.kernel
        )

    @cached_property
    def centred(self) -> tuple[NDArray[np.float32], Numbers]:
        """Centred mean prompts of length 1 and the factor that corrects their cosine."""
        return debiased(
            centred(self._means, self.ties.records), self.ties.records, norm2(self.ties), self._means
        )

    @property
    def _means(self) -> Floats:
        means: Floats = (self.ties.embedding_sum / self.records[:, None]).astype(np.float32)
        return means

    @cached_property
    def _topic_total(self) -> Numbers:
        return np.asarray(self.ties.field("topic_count").sum(axis=1), np.float64)

    @cached_property
    def topics(self) -> tuple[NDArray[np.float32], Numbers]:
        """Topic shares in the lake's chi-square metric, of length 1, and the factor that corrects their cosine."""
        counts = self.ties.field("topic_count").astype(np.float64)
        n = np.maximum(counts.sum(axis=1), 1.0)
        shares = counts / n[:, None]
        used = self.ties.records >= FEWEST
        mean = shares[used].mean(axis=0) if used.any() else np.zeros(shares.shape[1])
        mean = (mean + _SMOOTH / len(mean)) / (1 + _SMOOTH)
        vectors = ((shares - mean) / np.sqrt(mean)).astype(np.float32)
        # Of the squared length, what one record adds to itself is noise: sum p / (n m), against pairs of two.
        pairs = (counts * (counts - 1) / mean).sum(axis=1) / np.maximum(n * (n - 1), 1.0)
        noise = (shares * shares / mean).sum(axis=1) - pairs
        return directed(vectors, noise, self.ties.records >= FEWEST, MIN_EXCESS)

    @cached_property
    def likeness(self) -> NDArray[np.float32]:
        """Integers float32[n, d + 512] whose products are the sum of three corrected cosines, scaled.

        Of mean prompts, of mean features and of topics; one that an account lacks counts zero. No vector is longer
        than `UNIT`.
        """
        parts = []
        for direction, factor in (self.centroid, self.kernel, self.topics):
            scale = np.minimum(np.nan_to_num(factor), MOST_FACTOR) / (UNIT - direction.shape[1] ** 0.5)
            parts.append((direction * scale.astype(np.float32)[:, None]).astype(np.float32))
        joined = np.concatenate(parts, axis=1)
        joined *= np.float32((UNIT - joined.shape[1] ** 0.5) / (MOST_FACTOR * 3**0.5))
        np.rint(joined, out=joined)
        return joined

    @cached_property
    def _busy(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        busy = np.log1p(self.ties.hourly)
        busy -= busy.mean(axis=1, keepdims=True)
        busy -= busy.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        length = np.sqrt((busy * busy).sum(axis=1))
        busy /= np.maximum(length, 1e-12)[:, None]
        return busy, length > 1e-6

    @cached_property
    def _self_kernel(self) -> Numbers:
        return _self_similarity(self.ties.kernel, self.ties.records)

    @cached_property
    def _pivot(self) -> NDArray[np.float64]:
        """Hours from a new model's release to the account's first use; NaN if it uses none, float64[n]."""
        first = self.ties.model_first
        start, stop = self.ties.span
        release = first.min(axis=0, initial=NEVER)
        new = (release > start + 0.1 * (stop - start)) & (release < NEVER)
        if not new.any():
            return np.full(len(self.ties), np.nan)
        used = first[:, new]
        since = np.where(used == NEVER, np.inf, used - release[new].astype(np.float64))
        least: NDArray[np.float64] = since.min(axis=1)
        return np.where(np.isinf(least), np.nan, least)

    def signals(self, one: Integers, two: Integers) -> dict[str, Numbers]:
        """`PAIR_SIGNALS` of pairs of rows, float64[m] each, nine decimals."""
        parts = [
            self._block(one[low : low + _BLOCK], two[low : low + _BLOCK])
            for low in range(0, len(one), _BLOCK)
        ]
        return {
            name: np.round(np.concatenate([np.empty(0), *(part[name] for part in parts)]), 9)
            for name in PAIR_SIGNALS
        }

    def _block(self, one: Integers, two: Integers) -> dict[str, Numbers]:
        ties = self.ties
        out: dict[str, Numbers] = {"cosine": corrected(*self.centroid, one, two)}
        out["centred_cosine"] = corrected(*self.centred, one, two)
        out["kernel_cosine"] = corrected(*self.kernel, one, two)
        out["topic_cosine"] = corrected(*self.topics, one, two)
        own = self._self_kernel
        out["kernel_distance"] = own[one] + own[two] - 2.0 * _dots(ties.kernel, one, two)
        out |= self._topics(one, two) | self._prompts(one, two)
        out["rare_networks"] = np.log1p(_common(self.rare_networks, one, two))
        known = self._networks_known
        out["rare_networks"] = np.where(known[one] & known[two], out["rare_networks"], np.nan)
        paid = np.minimum(_common(self.rare_payments, one, two), 1.0)
        out["shared_payment"] = np.where(self._pays[one] & self._pays[two], paid, np.nan)
        for name, (shares, mean, have) in self.lifted.items():
            agree = _dots(shares, one, two) + _LEAST
            usual = np.sqrt((mean[one] + _LEAST) * (mean[two] + _LEAST))
            out[name] = np.where(have[one] & have[two], np.log(agree / usual), np.nan)
        out["flag_distance"] = self._flags(one, two)
        busy, active = self._busy
        out["synchrony"] = np.where(active[one] & active[two], _dots(busy, one, two), np.nan)
        mine, theirs = self._pivot[one], self._pivot[two]
        gap = np.abs(np.log1p(mine) - np.log1p(theirs))
        out["pivot_gap"] = np.where(np.isnan(mine) ^ np.isnan(theirs), 5.0, gap)
        n, m = self.records[one], self.records[two]
        out["least_records"] = np.log10(np.minimum(n, m))
        out["size_ratio"] = np.abs(np.log(n / m))
        return out

    def _topics(self, one: Integers, two: Integers) -> dict[str, Numbers]:
        # float32 holds these counts exactly, and their quotients well enough.
        a = self.ties.field("topic_count")[one].astype(np.float32)
        b = self.ties.field("topic_count")[two].astype(np.float32)
        n, m = np.maximum(self._topic_total[one], 1.0), np.maximum(self._topic_total[two], 1.0)
        both = a + b
        difference = a * np.sqrt(m / n).astype(np.float32)[:, None]
        difference -= b * np.sqrt(n / m).astype(np.float32)[:, None]
        difference *= difference
        difference /= np.maximum(both, np.float32(1.0))
        square = difference.sum(axis=1).astype(np.float64)
        free = np.maximum((both > 0).sum(axis=1) - 1.0, 1.0)
        over = (square - free) / np.sqrt(2.0 * free)
        return {
            "topic_distance": (square - free) * (n + m) / (2.0 * n * m),
            "topic_excess": np.sign(over) * np.sqrt(np.abs(over)),
        }

    def _prompts(self, one: Integers, two: Integers) -> dict[str, Numbers]:
        ties = self.ties
        found: dict[str, Numbers] = {}
        for name, field in (("overlap", "prompt_distinct"), ("template_overlap", "template_distinct")):
            sketches = ties.hashes[:, DISTINCT_FIELDS.index(field)]
            have = sketches[:, 0] != PADDING
            value = np.where(have[one] & have[two], 0.0, np.nan)
            # Most pairs share nothing, and the cheap question is asked first.
            some = np.flatnonzero(_common(self._repeated[field], one, two) > 0)
            value[some] = overlaps(sketches, one[some], two[some])
            found[name] = value
        expected = self.expected(one, two)
        spread = np.sqrt(expected * (1 - expected) / SKETCH + 1e-3)
        found["overlap_deficit"] = (expected - found["overlap"]) / spread
        rate = self._distinct / self.records
        found["repeat_difference"] = np.where(
            np.isnan(found["overlap"]), np.nan, np.abs(rate[one] - rate[two])
        )
        return found

    def expected(self, one: Integers, two: Integers) -> Numbers:
        """Overlap of prompts that two users of one pool would have, float64[m]."""
        pool = np.maximum(self._pool[one], self._pool[two])
        return expected_overlap(self._distinct[one], self._distinct[two], pool)

    @cached_property
    def _repeated(self) -> dict[str, sparse.csr_array]:
        return {
            name: _shared_values(self.ties.hashes[:, number], None)
            for number, name in enumerate(DISTINCT_FIELDS)
            if name != "client_network_distinct"
        }

    def _flags(self, one: Integers, two: Integers) -> Numbers:
        n, m = self.records[one], self.records[two]
        total = np.zeros(len(one))
        for name in _FLAGS:
            count = self.ties.counter(name).astype(np.float64)
            a, b = count[one], count[two]
            pooled = (a + b + 0.5) / (n + m + 1.0)
            total += (a / n - b / m) ** 2 / (pooled * (1 - pooled) * (1 / n + 1 / m))
        return np.log1p(total / len(_FLAGS))


def norm2(ties: AccountTies) -> Numbers:
    """Mean squared length of an account's prompts, float64[n]."""
    return ties.counter("embedding_norm2") / np.maximum(ties.records, 1)


def centred(means: NDArray[np.float32], records: Integers) -> NDArray[np.float32]:
    """Means less the mean over accounts with records enough, every account weighing the same."""
    used = records >= FEWEST
    if not used.any():
        return means
    less: Floats = means - means[used].mean(axis=0, dtype=np.float64).astype(np.float32)
    return less


UNIT = 4095
"""Length of a rounded direction: products stay below 2**24, so a float32 product is exact."""


def debiased(
    vectors: NDArray[np.float32],
    records: Integers,
    square: Numbers | None,
    plain: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], Numbers]:
    """Rounded directions float32[n, d] of length `UNIT`, and factors that correct a cosine for noise.

    A mean v of n vectors of mean square s has ``|v|^2 = t + (s - |v|^2) / (n - 1)``, t without noise; the factor is
    ``|v| / sqrt(t)``. NaN where t is below `MIN_COHERENCE` s: such an account points nowhere.

    Parameters
    ----------
    vectors
        Means, perhaps centred.
    records
        n.
    square
        s, of the vectors as they came; None: 1, as random features have it.
    plain
        The means before centring, to tell their noise by.
    """
    usual = np.ones(len(vectors)) if square is None else square
    whole = _squares(vectors)
    before = whole if plain is None else _squares(plain)
    noise = np.maximum(usual - before, 0.0) / np.maximum(records - 1, 1)
    return directed(vectors, noise, records >= FEWEST, MIN_COHERENCE * usual)


def directed(
    vectors: NDArray[np.float32], noise: Numbers, enough: NDArray[np.bool_], least: Numbers | float
) -> tuple[NDArray[np.float32], Numbers]:
    """As `debiased`: directions and factors of vectors whose squared length is by ``noise`` too large."""
    whole = _squares(vectors)
    left = whole - noise
    usable = enough & (left >= least) & (whole > 0)
    length = np.sqrt(np.maximum(whole, 1e-30))
    scale = (UNIT - vectors.shape[1] ** 0.5) / length
    direction = np.rint(vectors * scale[:, None].astype(np.float32))
    factor = np.where(usable, length / np.sqrt(np.where(usable, left, 1.0)), np.nan)
    return direction.astype(np.float32), factor


def corrected(direction: NDArray[np.float32], factor: Numbers, one: Integers, two: Integers) -> Numbers:
    """Cosines of pairs of rows of `debiased`, at most 1.2."""
    size = float(UNIT - direction.shape[1] ** 0.5) ** 2
    value = _dots(direction, one, two) / size * factor[one] * factor[two]
    return np.clip(value, -1.2, 1.2)


def _squares(vectors: NDArray[np.float32]) -> Numbers:
    out: Numbers = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return out


def _dots(vectors: NDArray[np.float32], one: Integers, two: Integers) -> Numbers:
    product: Numbers = np.einsum("ij,ij->i", vectors[one], vectors[two]).astype(np.float64)
    return product


def _self_similarity(kernel: NDArray[np.float32], records: Integers) -> Numbers:
    n = np.maximum(records, 2).astype(np.float64)
    return np.where(records >= 2, (n * _squares(kernel) - 1.0) / (n - 1.0), np.nan)


def _known_prompts(ties: AccountTies, distinct: Numbers) -> Numbers:
    """Records whose prompt is known; a profile does not count them, so all, unless none is."""
    return np.where(distinct > 0, ties.records, 0).astype(np.float64)


def _rare(sketches: NDArray[np.uint64]) -> sparse.csr_array:
    return _shared_values(sketches, RARE)


def _shared_values(sketches: NDArray[np.uint64], most: int | None) -> sparse.csr_array:
    """Which account has which value, of the values that 2 to ``most`` accounts have."""
    row, column = np.nonzero(sketches != PADDING)
    _, code, count = np.unique(sketches[row, column], return_inverse=True, return_counts=True)
    kept = (count >= 2) & (count <= (len(sketches) if most is None else most))
    return _incidence(row[kept[code]], code[kept[code]], len(sketches))


def _payment_matrix(
    ties: AccountTies, payments: Mapping[str, Sequence[str]]
) -> tuple[sparse.csr_array, NDArray[np.bool_]]:
    pairs = [(row, each) for row, name in enumerate(ties.account_id) for each in payments.get(name, ())]
    pays = np.zeros(len(ties), bool)
    if not pairs:
        return _incidence(np.empty(0, np.int64), np.empty(0, np.int64), len(ties)), pays
    row = np.array([row for row, _ in pairs], np.int64)
    pays[row] = True
    _, code, count = np.unique(
        np.array([each for _, each in pairs], object), return_inverse=True, return_counts=True
    )
    kept = ((count >= 2) & (count <= RARE_PAYMENT))[code]
    return _incidence(row[kept], code[kept], len(ties)), pays


def _incidence(row: NDArray[np.integer], code: NDArray[np.integer], accounts: int) -> sparse.csr_array:
    codes, column = np.unique(code, return_inverse=True)
    return sparse.csr_array(
        (np.ones(len(row), np.float32), (row, column)), shape=(accounts, max(1, len(codes)))
    )


def _common(matrix: sparse.csr_array, one: Integers, two: Integers) -> Numbers:
    """How many values two accounts both have, float64[m]."""
    if matrix.nnz == 0:
        return np.zeros(len(one))
    return np.asarray(matrix[one].multiply(matrix[two]).sum(axis=1), np.float64).reshape(-1)
