"""The product protocol: one lake per world under the conditions of use, every detector on the same records.

A baseline gets the lake's records and a sample of them as its pool: nobody knows which accounts are benign.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.clock import SystemClock
from pipeline.evaluate.accounts import Accounts
from pipeline.evaluate.baselines import get_baseline
from pipeline.evaluate.lakes import LakeScores, ingest_log, judge, shorten_log, write_log
from pipeline.evaluate.workers import say
from pipeline.evaluate.worlds import build_evaluation_world
from pipeline.records.schema import body_fields
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.clock import Clock
    from pipeline.evaluate.worlds import EvaluationSettings, Truth

POOL_ROWS = 6000
MIN_RECORDS = 50


@dataclass(frozen=True, slots=True)
class WorldTask:
    """One world for `judge_world`, so that it can be sent to another process."""

    settings: EvaluationSettings
    label: str
    ours: tuple[str, ...]
    baselines: tuple[str, ...]
    fdr: float
    looks: tuple[int, ...]


def judge_world(task: WorldTask) -> Judged:
    """`run_world` by the machine's clock; signals are not kept."""
    judged = run_world(
        task.settings,
        ours=task.ours,
        baselines=task.baselines,
        clock=SystemClock(),
        fdr=task.fdr,
        looks=task.looks,
        label=task.label,
        report=say,
    )
    for outcome in judged.outcomes.values():
        outcome.signals = {}
    return judged


@dataclass(slots=True)
class Outcome:
    """One detector on one world: ``score`` float64[accounts]; the rest for detectors of the product only.

    ``signals`` are those that the run published. ``looks[n]`` is the score by each account's first n records, NaN for accounts with fewer; ``looks_listed[n]`` who is
    in the alert list then.
    """

    score: NDArray[np.float64]
    listed: NDArray[np.bool_] | None = None
    by_cluster: NDArray[np.bool_] | None = None
    clusters: tuple[tuple[str, ...], ...] = ()
    looks: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    looks_listed: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    seconds: float = 0.0
    signals: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Judged:
    """One world and what every detector made of it, accounts in the order of ``truth``."""

    settings: EvaluationSettings
    truth: tuple[Truth, ...]
    harvested: tuple[str, ...]
    records: int
    outcomes: dict[str, Outcome]
    label: str = ""

    @property
    def attack(self) -> NDArray[np.bool_]:
        """Whether each account attacks."""
        return np.array([each.attack for each in self.truth], bool)

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Whether each account has records enough to be judged at all."""
        return np.array([each.records >= MIN_RECORDS for each in self.truth], bool)


def run_world(
    settings: EvaluationSettings,
    *,
    ours: Sequence[str],
    baselines: Sequence[str],
    clock: Clock,
    fdr: float = 0.05,
    looks: Sequence[int] = (),
    label: str = "",
    report: Callable[[str], None] = lambda _: None,
) -> Judged:
    """Generate, ingest and judge one world.

    Parameters
    ----------
    ours
        Detectors of `pipeline.detectors.DETECTORS`.
    baselines
        Names of `BASELINES`.
    looks
        Also judge every account by its first so many records, all of them together in a lake of their own.
    label
        The group of worlds that the report puts it in.
    report
        Told what begins.
    """
    report("world")
    world = build_evaluation_world(settings)
    names = [each.account_id for each in world.truth]
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="distillwatch-evaluate-") as scratch:
        folder = Path(scratch)
        log = folder / "log.parquet"
        schema = pa.schema(body_fields(EmbeddingSpace(dimension=world.world.topics.dimension)))
        write_log(world.tables(), schema, log)
        if ours:
            report("ingest")
            lake = ingest_log(log, folder / "lake", clock)
            for name in ours:
                report(name)
                found = judge(lake, name, names, fdr, clock)
                outcomes[name] = _outcome(found)
            for look in looks:
                report(f"first {look} records")
                shorten_log(log, folder / f"log-{look}.parquet", look)
                small = ingest_log(folder / f"log-{look}.parquet", folder / f"lake-{look}", clock)
                for name in ours:
                    early = judge(small, name, names, fdr, clock)
                    outcomes[name].looks[look] = early.score
                    outcomes[name].looks_listed[look] = early.listed
        if baselines:
            report("accounts")
            accounts = Accounts.of(pq.read_table(log))
            outcomes |= _baselines(accounts, baselines, names, settings.seed, looks, clock, report)
    return Judged(settings, world.truth, world.dealt.harvested, world.records, outcomes, label)


def _outcome(found: LakeScores) -> Outcome:
    return Outcome(
        found.score,
        found.listed,
        found.by_cluster,
        found.clusters,
        seconds=found.seconds,
        signals=found.signals,
    )


def _baselines(
    accounts: Accounts,
    names: Sequence[str],
    order: Sequence[str],
    seed: int,
    looks: Sequence[int],
    clock: Clock,
    report: Callable[[str], None],
) -> dict[str, Outcome]:
    pool = accounts.pool(POOL_ROWS, seed)
    found: dict[str, Outcome] = {}
    for name in names:
        report(name)
        started = clock.monotonic()
        score = get_baseline(name).score(accounts, pool)
        found[name] = Outcome(_in_order(accounts, score, order), seconds=clock.monotonic() - started)
    for look in looks:
        early = accounts.first(look)
        for name in names:
            report(f"{name}, first {look} records")
            if len(early):
                found[name].looks[look] = _in_order(early, get_baseline(name).score(early, pool), order)
    return found


def _in_order(accounts: Accounts, score: NDArray[np.float64], order: Sequence[str]) -> NDArray[np.float64]:
    place = dict(zip(accounts.account_id, score, strict=True))
    return np.array([place.get(name, np.nan) for name in order], np.float64)
