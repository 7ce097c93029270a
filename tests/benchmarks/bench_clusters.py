"""Seconds and memory of clustering all pairs of many accounts: ``python tests/benchmarks/bench_clusters.py [--accounts N]``.

Synthetic accounts: each asks about a few topics of the shipped codebook (log-normal numbers of records, mostly one to
twenty topics), with hydras of 60 among them that split a wide mixture. Candidate pairs, evidence of every pair,
communities. The screen's recall is measured against exact comparison for some accounts. Two threads, each with its own
single-threaded matrix products.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from pipeline.clusters.candidates import NEAREST, candidate_pairs, nearest
from pipeline.clusters.communities import communities
from pipeline.clusters.curves import Curve, Curves
from pipeline.clusters.find import pair_log_odds
from pipeline.clusters.pairs import PairReader
from pipeline.clusters.ties import AccountTies
from pipeline.kernels.distinct import PADDING
from pipeline.parameters import Parameters
from pipeline.profiles.accounts import NEVER
from pipeline.profiles.schema import ASKABLE_FIELDS, CELL_OFFSETS, CELLS, FEATURES, LIGHT_FIELDS

HYDRA = 60


def make_ties(accounts: int, seed: int = 1) -> tuple[AccountTies, dict[str, list[str]], np.ndarray]:
    """Accounts, payments, and the hydra of each (-1: none)."""
    rng = np.random.default_rng(seed)
    parameters = Parameters.default()
    centres = parameters.codebook_matrix.T.astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    topics, dimension = centres.shape
    turn = rng.normal(size=(dimension, FEATURES)).astype(np.float32) * 1.3
    features = np.cos(centres @ turn + rng.uniform(0, 2 * np.pi, FEATURES)).astype(np.float32)
    features *= np.sqrt(2.0 / FEATURES)
    hydra = np.full(accounts, -1)
    campaigns = max(1, accounts // 3000)
    hydra[rng.permutation(accounts)[: campaigns * HYDRA]] = np.repeat(np.arange(campaigns), HYDRA)
    records = np.clip(rng.lognormal(5.0, 1.0, accounts), 20, 4000).astype(np.int64)
    popular = rng.dirichlet(np.full(topics, 0.5))
    shapes = [rng.dirichlet(np.full(topics, 0.3)) for _ in range(campaigns)]
    cells = np.zeros((accounts, CELLS), np.int32)
    counts = np.empty((accounts, topics), np.float32)
    for i in range(accounts):
        if hydra[i] >= 0:
            share = shapes[hydra[i]]
        else:
            few = rng.choice(topics, rng.integers(1, 20), p=popular)
            share = np.bincount(few, rng.exponential(size=len(few)), topics)
            share /= share.sum()
        counts[i] = rng.multinomial(records[i], share)
    start = CELL_OFFSETS["topic_count"]
    cells[:, start : start + topics] = counts
    for name, size in ASKABLE_FIELDS.items():
        if name != "topic_count":
            column = CELL_OFFSETS[name] + rng.integers(0, size, accounts)
            cells[np.arange(accounts), column] = records
    noise = np.sqrt(records)[:, None] * 0.7
    sums = np.empty((accounts, dimension), np.float32)
    kernel = np.empty((accounts, FEATURES), np.float32)
    for low in range(0, accounts, 8192):
        part = slice(low, low + 8192)
        n = len(records[part])
        sums[part] = counts[part] @ centres * 0.7
        sums[part] += rng.normal(size=(n, dimension)).astype(np.float32) * noise[part] / np.sqrt(dimension)
        kernel[part] = counts[part] @ features / records[part, None] * 0.7
        kernel[part] += (
            rng.normal(size=(n, FEATURES)).astype(np.float32)
            * noise[part]
            / records[part, None]
            / np.sqrt(FEATURES)
        )
    length2 = (sums.astype(np.float64) ** 2).sum(axis=1)
    coherence = (length2 - records) / np.maximum(records * (records - 1.0), 1.0)
    light = np.zeros((accounts, len(LIGHT_FIELDS)), np.int64)
    light[:, LIGHT_FIELDS.index("records")] = records
    # Vectors of length 128, as the grid has them near enough.
    light[:, LIGHT_FIELDS.index("embedding_norm2")] = records * 128 * 128
    hashes = np.full((accounts, 3, 64), PADDING, np.uint64)
    for field, values in ((0, 64), (1, 8), (2, 3)):
        each = rng.integers(0, 2**40, (accounts, values)).astype(np.uint64)
        hashes[:, field, :values] = np.sort(each, axis=1)
    hashes[:, 2, 0] = rng.integers(0, accounts, accounts).astype(np.uint64)
    hashes[:, 2] = np.sort(hashes[:, 2], axis=1)
    hours = 240
    row = np.repeat(np.arange(accounts), 12)
    activity = np.stack([row, rng.integers(0, hours, len(row)), np.repeat(records // 12 + 1, 12)], axis=1)
    first = np.full((accounts, ASKABLE_FIELDS["model_hashed_count"]), NEVER, np.int64)
    first[np.arange(accounts), rng.integers(0, 8, accounts)] = rng.integers(0, hours, accounts)
    names = np.array([f"account-{i:07d}" for i in range(accounts)], object)
    payments = {name: [f"pay-{rng.integers(0, accounts)}"] for name in names}
    ties = AccountTies(
        names, records, np.rint(sums * 128), coherence, kernel, cells, light, hashes, activity, first
    )
    return ties, payments, hydra


def peak() -> float:
    """Largest memory of the process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def recall(vectors: np.ndarray, rows: np.ndarray, chosen: np.ndarray) -> float:
    """Share of the exactly nearest accounts of the chosen ones that the screen kept."""
    value = vectors[chosen] @ vectors.T
    value[np.arange(len(chosen)), chosen] = -np.inf
    found = total = 0
    for i, row in enumerate(chosen):
        best = np.argpartition(-value[i], NEAREST)[:NEAREST]
        best = best[value[i][best] > 0]
        found += len(np.intersect1d(best, rows[row]))
        total += len(best)
    return found / max(1, total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--checked", type=int, default=500)
    options = parser.parse_args()
    say = sys.stdout.write
    ties, payments, hydra = make_ties(options.accounts)
    say(f"{options.accounts} accounts made, {peak():.2f} GB\n")
    began, worked = time.perf_counter(), time.process_time()
    reader = PairReader(ties, payments)
    one, two = candidate_pairs(reader)
    took = time.perf_counter() - began
    say(f"candidates: {len(one)} pairs in {took:.1f} s, peak {peak():.2f} GB\n")
    start = time.perf_counter()
    # Any curves cost the same as the fitted ones: here, likeness of content alone.
    model = Curves(-6.0, {"topic_distance": Curve((0.0, 1.0), (8.0, 0.0), 0.0)})
    log_odds = pair_log_odds(reader, one, two, model)
    say(f"evidence: {time.perf_counter() - start:.1f} s, peak {peak():.2f} GB\n")
    start = time.perf_counter()
    groups = communities(one, two, log_odds)
    say(f"communities: {len(groups)} in {time.perf_counter() - start:.1f} s\n")
    spent = time.process_time() - worked
    say(f"all: {time.perf_counter() - began:.1f} s, {spent:.1f} s of processor time, peak {peak():.2f} GB\n")
    together = (hydra[one] == hydra[two]) & (hydra[one] >= 0)
    linked = np.unique(np.concatenate([one[together], two[together]]))
    say(f"hydra accounts with a pair of their own campaign: {len(linked) / max(1, (hydra >= 0).sum()):.1%}\n")
    chosen = np.arange(options.checked) * options.accounts // options.checked
    rows = nearest(reader.likeness, NEAREST)
    say(f"recall of the screen, {options.checked} accounts: {recall(reader.likeness, rows, chosen):.2%}\n")


if __name__ == "__main__":
    main()
