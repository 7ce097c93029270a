from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pipeline.clusters.ties import AccountTies
from pipeline.kernels.distinct import PADDING
from pipeline.profiles.accounts import NEVER
from pipeline.profiles.schema import CELL_OFFSETS, CELLS, FEATURES, LIGHT_FIELDS

DIMENSION = 32
TOPICS = 24


class Lake:
    """Accounts by hand: each is a share of topics, prompts from a pool, networks, parameters, hours."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.centres = self.rng.normal(size=(TOPICS, DIMENSION))
        self.centres *= 100 / np.linalg.norm(self.centres, axis=1, keepdims=True)
        self.features = self.rng.normal(size=(TOPICS, FEATURES))
        self.features /= np.linalg.norm(self.features, axis=1, keepdims=True)
        self.rows: list[dict[str, object]] = []
        self.payments: dict[str, list[str]] = {}

    def add(
        self,
        name: str,
        share: np.ndarray,
        records: int,
        *,
        prompts: np.ndarray,
        networks: list[int] = (),
        sampling: int = 0,
        agent: int = 0,
        payment: str | None = None,
        hours: np.ndarray | None = None,
    ) -> None:
        rng = self.rng
        counts = rng.multinomial(records, share)
        cells = np.zeros(CELLS, np.int32)
        cells[CELL_OFFSETS["topic_count"] : CELL_OFFSETS["topic_count"] + TOPICS] = counts
        for field, bucket in (
            ("sampling_hashed_count", sampling),
            ("user_agent_hashed_count", agent),
            ("client_network_hashed_count", networks[0] % 64 if len(networks) else 0),
            ("model_hashed_count", 0),
            ("input_tokens_histogram", 8),
            ("output_tokens_histogram", 8),
            ("hour_histogram", 12),
        ):
            cells[CELL_OFFSETS[field] + bucket] = records
        light = np.zeros(len(LIGHT_FIELDS), np.int64)
        light[LIGHT_FIELDS.index("records")] = records
        noise = rng.normal(size=(records, DIMENSION)) * 8
        vectors = np.rint(np.repeat(self.centres, counts, axis=0) + noise)
        light[LIGHT_FIELDS.index("embedding_norm2")] = int((vectors**2).sum())
        total = vectors.sum(axis=0)
        squares = float((vectors**2).sum())
        hashes = np.full((3, 64), PADDING, np.uint64)
        for place, values in ((0, prompts), (2, np.array(networks))):
            kept = np.unique(np.asarray(values, np.uint64) * np.uint64(0x9E3779B97F4A7C15))[:64]
            hashes[place, : len(kept)] = kept
        when = hours if hours is not None else rng.integers(0, 48, records)
        bins, count = np.unique(when, return_counts=True)
        self.rows.append(
            {
                "name": name,
                "records": records,
                "sum": total,
                "coherence": (float(total @ total) - squares) / ((records - 1) * squares),
                "kernel": counts @ self.features / records,
                "cells": cells,
                "light": light,
                "hashes": hashes,
                "activity": np.stack([bins, count], axis=1),
            }
        )
        if payment is not None:
            self.payments[name] = [payment]

    def ties(self, order: np.ndarray | None = None) -> AccountTies:
        rows = sorted(self.rows, key=lambda row: str(row["name"]).encode())
        first = np.full((len(rows), 64), NEVER, np.int64)
        first[:, 0] = 0
        found = AccountTies(
            np.array([row["name"] for row in rows], object),
            np.array([row["records"] for row in rows], np.int64),
            np.array([row["sum"] for row in rows], np.float32),
            np.array([row["coherence"] for row in rows]),
            np.array([row["kernel"] for row in rows], np.float32),
            np.array([row["cells"] for row in rows], np.int32),
            np.array([row["light"] for row in rows], np.int64),
            np.array([row["hashes"] for row in rows], np.uint64),
            np.concatenate(
                [np.insert(row["activity"], 0, i, axis=1) for i, row in enumerate(rows)]  # type: ignore[call-overload]
            ),
            first,
        )
        return found if order is None else found.take(order)


def some(rng: np.random.Generator, topics: int) -> np.ndarray:
    """A share over a few topics."""
    share = np.zeros(TOPICS)
    share[rng.choice(TOPICS, topics, replace=False)] = rng.exponential(size=topics) + 0.2
    return share / share.sum()


@cache
def mixed_lake() -> Lake:
    """120 accounts of their own, a hydra of 12 that shares a list out, and 15 bots of a company with a common list."""
    lake = Lake()
    rng = lake.rng
    for i in range(120):
        records = int(rng.integers(30, 300))
        lake.add(
            f"user-{i:03d}",
            some(rng, int(rng.integers(1, 6))),
            records,
            prompts=rng.integers(10_000 * (i + 10), 10_000 * (i + 10) + 2 * records, records),
            networks=[int(rng.integers(1_000, 90_000)), int(rng.integers(0, 20))],
            sampling=int(rng.integers(0, 60)),
            agent=int(rng.integers(0, 20)),
            payment=f"pay-{i // 2}",
        )
    wide = rng.dirichlet(np.ones(TOPICS) * 2)
    for i in range(12):
        lake.add(
            f"hydra-{i:02d}",
            wide,
            25,
            prompts=5_000_000 + 25 * i + np.arange(25),
            networks=[200_000 + i % 4, 200_010 + i % 3],
            sampling=61,
            agent=21,
            payment=f"pay-hydra-{i // 4}",
        )
    narrow = some(rng, 3)
    for i in range(15):
        lake.add(
            f"bot-{i:02d}",
            narrow,
            200,
            prompts=6_000_000 + np.floor(60 * rng.random(200) ** 2).astype(np.int64),
            networks=[300_000, 300_001],
            sampling=62,
            agent=22,
            payment="pay-bots",
        )
    return lake


@pytest.fixture
def lake() -> Lake:
    return mixed_lake()
