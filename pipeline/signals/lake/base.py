"""What a lake signal is: one number of an account that compares it with the other accounts of the lake.

Everything is a function of the set of records: accounts are in order of their id's bytes, samples in order of time.
Products are exact (integers below 2**24 in float32), so the neighbours found are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.kernels.distinct import PADDING
from pipeline.signals.lake.cells import assign, fit_cells
from pipeline.signals.lake.neighbours import host_product, nearest_accounts
from pipeline.signals.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.profiles.table import Profiles
    from pipeline.signals.lake.neighbours import Product

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]

SAMPLE = 64
"""Records of each account, evenly spaced in time, that lake signals look at."""

PEERS = 20
"""Nearest accounts that an account is compared with."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some records of every account, account by account in the profiles' order, each in order of time.

    ``owner`` int64[m] is the row of the account; ``vectors`` int8[m, d]; ``prompt`` and ``model`` int64[m] are codes
    (-1 unknown; equal codes are equal values, in whatever account); ``time`` int64[m] in microseconds.
    """

    owner: Integers
    vectors: NDArray[np.int8]
    prompt: Integers
    model: Integers
    time: Integers


@dataclass(frozen=True)
class LakeAccounts:
    """All accounts of a lake, or of a part of it that is to be compared with itself.

    Parameters
    ----------
    profiles
        n profiles, one per account, sorted.
    sample
        At most `SAMPLE` records per account.
    activity
        int64[n, hours], records per hour of the period; None where windows were not read.
    product
        Matrix product of float32 arrays that hold small integers, ``(a, b) -> a @ b.T``: the place for a device.

    Raises
    ------
    UsageError
        The parts do not belong together.
    """

    profiles: Profiles
    sample: Sample
    activity: Integers | None = None
    product: Product = host_product

    def __post_init__(self) -> None:
        n = len(self.profiles)
        if len(np.unique(self.profiles.account_id)) != n:
            msg = f"{n} profiles of fewer accounts; add windows up with by_account() first"
            raise UsageError(msg)
        owner = self.sample.owner
        if len(owner) and (owner[0] < 0 or owner[-1] >= n or (np.diff(owner) < 0).any()):
            msg = f"the sample's owners are not rows of {n} accounts in ascending order; sort it by account and time"
            raise UsageError(msg)

    def __len__(self) -> int:
        return len(self.profiles)

    @cached_property
    def peers(self) -> tuple[Integers, Numbers]:
        """Rows of the `PEERS` nearest other accounts, int64[n, PEERS], -1 where there are none, and their cosines."""
        return nearest_accounts(self.profiles, PEERS, self.product)

    @cached_property
    def sizes(self) -> Integers:
        """Sampled records per account, int64[n]."""
        return np.bincount(self.sample.owner, minlength=len(self)).astype(np.int64)

    @cached_property
    def starts(self) -> Integers:
        """Where each account's sample begins, int64[n]."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def cells(self) -> Integers:
        """Cell of each sampled record in a codebook fitted to this lake, int64[m]."""
        return assign(self.sample.vectors, fit_cells(self.sample.vectors), self.product)

    @cached_property
    def cell_counts(self) -> Integers:
        """Sampled records per account and cell, each different prompt once, int64[n, cells]."""
        kept = self.first_prompts
        width = int(self.cells.max(initial=0)) + 1
        flat = self.sample.owner[kept] * width + self.cells[kept]
        return np.bincount(flat, minlength=len(self) * width).reshape(len(self), width).astype(np.int64)

    @cached_property
    def first_prompts(self) -> Integers:
        """Sampled rows that are the first of their prompt in their account; unknown prompts are all kept."""
        owner, prompt = self.sample.owner, self.sample.prompt
        own = np.where(prompt < 0, -2 - np.arange(len(prompt)), prompt)
        order = np.lexsort((np.arange(len(own)), own, owner))
        fresh = np.ones(len(own), bool)
        fresh[1:] = (np.diff(owner[order]) != 0) | (np.diff(own[order]) != 0)
        return np.sort(order[fresh])

    @cached_property
    def cell_shares(self) -> Numbers:
        """Each account's shares of the cells, float64[n, cells]; rows of accounts without sample are zero."""
        counts = self.cell_counts.astype(np.float64)
        counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        return counts

    @cached_property
    def other_shares(self) -> Numbers:
        """Shares of the cells among all other accounts, every account weighing the same, float64[n, cells].

        A half account is spread evenly, so that no cell is impossible.
        """
        shares = self.cell_shares
        have = (self.sizes > 0).astype(np.float64)
        total = shares.sum(axis=0)[None, :] - shares + 0.5 / shares.shape[1]
        out: Numbers = total / (have.sum() - have + 0.5)[:, None]
        return out

    def over_peers(self, value: Callable[[Integers, Integers], Numbers]) -> Numbers:
        """Mean over an account's peers of ``value(rows, peers)``, float64[n]; NaN without peers."""
        peers, _ = self.peers
        total, count = np.zeros(len(self)), np.zeros(len(self))
        for place in range(peers.shape[1]):
            rows = np.flatnonzero(peers[:, place] >= 0)
            got = value(rows, peers[rows, place])
            known = ~np.isnan(got)
            total[rows[known]] += got[known]
            count[rows[known]] += 1
        return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)

    def against_peers(self, values: Numbers) -> Numbers:
        """Any signal less its mean over the account's peers, float64[n]: how it differs from those on the same content.

        NaN without a value or without peers that have one. Members of a hydra are each other's peers and differ in
        nothing: use it beside the signal, never in its place.
        """
        return values - self.over_peers(lambda _, others: values[others])


@dataclass(frozen=True, slots=True)
class LakeSignal:
    """One signal of `LakeAccounts`; fields as in `pipeline.signals.base.Signal`.

    ``compute`` gives float64[n], NaN where there is no value.
    """

    name: str
    units: str
    formula: str
    source: str
    sees: str
    misses: str
    says: str
    compute: Callable[[LakeAccounts], Numbers]

    def values(self, accounts: LakeAccounts) -> Numbers:
        """float64[n], nine decimals; never infinite."""
        if len(accounts) == 0:
            return np.empty(0)
        found = self.compute(accounts)
        return np.where(np.isfinite(found), np.round(found, 9), np.nan)

    def sentence(self, value: float) -> str:
        """The value in words."""
        return in_words(self.says, value)


def alike(accounts: LakeAccounts, field: str) -> Numbers:
    """How much more an askable field is distributed as with the peers than as with anybody in the lake, float64[n].

    Bhattacharyya coefficient ``sum sqrt(p q)``, mean over peers minus mean over all other accounts.
    """
    counts = accounts.profiles.askable[field].astype(np.float64)
    total = counts.sum(axis=1)
    root = np.sqrt(counts / np.maximum(total, 1.0)[:, None])
    have = total > 0
    others = (root[have].sum(axis=0)[None, :] - root) / max(1, int(have.sum()) - 1)

    def with_peers(rows: Integers, peers: Integers) -> Numbers:
        value = (root[rows] * root[peers]).sum(axis=1)
        return np.where(have[rows] & have[peers], value, np.nan)

    return np.where(have, accounts.over_peers(with_peers) - (root * others).sum(axis=1), np.nan)


def overlaps(sketches: NDArray[np.uint64], rows: Integers, others: Integers) -> Numbers:
    """Estimated Jaccard similarity of sketches, pair by pair, float64; NaN where either is empty.

    As `pipeline.readings.sketch_overlap` does for one pair: of the k smallest of the union, which lie in both.
    """
    out = np.full(len(rows), np.nan)
    k = sketches.shape[1]
    for low in range(0, len(rows), 8192):
        one, two = sketches[rows[low : low + 8192]], sketches[others[low : low + 8192]]
        both = np.sort(np.concatenate([one, two], axis=1), axis=1)
        real = both != PADDING
        twice = np.zeros_like(real)
        twice[:, 1:] = (both[:, 1:] == both[:, :-1]) & real[:, 1:]
        place = np.cumsum(real & ~twice, axis=1)
        size = np.minimum(place[:, -1], k)
        shared = (twice & (place <= k)).sum(axis=1)
        known = (one[:, 0] != PADDING) & (two[:, 0] != PADDING)
        out[low : low + 8192] = np.where(known, shared / np.maximum(size, 1), np.nan)
    return out
