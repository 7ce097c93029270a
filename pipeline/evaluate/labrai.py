"""LabRAI's protocol on its own terms: windows of 1,500 records against an i.i.d. benign pool (arXiv 2606.05725).

A pair is one corpus that is harvested and some others that make the benign pool. A window's records are drawn
independently, with a share from the attacker (the mix). Each baseline's threshold is set on benign windows of their own,
at their mean and deviation (one-sided normal, `NOMINAL`), and the false-positive rate is measured on others.
Ours is here `pipeline.detectors.windows`, made for this question, at `OUR_LEVEL` of its own p-value: tails known from some
dozens of windows are too short by a factor of a few, which was seen on other seeds (2) than those that are reported.
The detector of accounts is not asked: it takes breadth for a sign, and a window from one corpus is narrow.
It never meets a benign *account*, with a topic and habits of its own: a detector that is perfect here may accuse every
niche, which is why the product protocol exists. Only detectors that need nothing but prompts take part.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from pipeline.detectors.windows import MIN_CALIBRATION, PoolModel, WindowDetector
from pipeline.errors import UsageError
from pipeline.evaluate.accounts import Accounts
from pipeline.evaluate.baselines import get_baseline
from pipeline.evaluate.corpora import load_topics
from pipeline.evaluate.figures import share_over_seeds
from pipeline.evaluate.workers import in_processes
from pipeline.parameters import Parameters
from pipeline.records.schema import body_fields
from pipeline.simulate.mixing import mix
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.simulate.content import Topics

MIXES = (0.05, 0.10, 0.25, 1.0)
WINDOWS = (1500, 100)
PAIRS = 14
NOMINAL = 0.003
OUR_LEVEL = 0.0003
OURS = "windows"
POOL_ROWS = 6000
BASELINES = ("prada", "seat", "mmd", "mahalanobis", "cap")


@dataclass(frozen=True, slots=True)
class Pair:
    """One harvested corpus and a benign pool of others."""

    attack: str
    benign: tuple[str, ...]


def pairs_of(topics: Topics, count: int, seed: int) -> list[Pair]:
    """Every corpus is harvested in turn; two to five others are the pool."""
    rng = random.Random(f"labrai {seed}")  # noqa: S311 - traffic, not secrets
    out = []
    for i in range(count):
        attack = topics.sources[i % len(topics.sources)]
        others = [name for name in topics.sources if name != attack]
        out.append(Pair(attack, tuple(sorted(rng.sample(others, min(len(others), rng.randint(2, 5)))))))
    return out


def draw(topics: Topics, sources: Sequence[str], count: int, key: int) -> NDArray[np.int8]:
    """Independent prompts, each source alike: int8[count, d]."""
    rng = np.random.default_rng([key & 0xFFFFFFFF, 0x1AB])
    component = np.empty(count, np.int64)
    source = rng.integers(len(sources), size=count)
    for s, name in enumerate(sources):
        mine = np.flatnonzero(source == s)
        there = topics.components(name)
        weight = topics.weight[there].astype(np.float64)
        component[mine] = rng.choice(there, len(mine), p=weight / weight.sum())
    prompt = mix(np.arange(count), key, 0x1AC)
    return topics.vectors(component, prompt, prompt)


def windows(topics: Topics, pair: Pair, share: float, count: int, size: int, key: int) -> NDArray[np.int8]:
    """``count`` windows of ``size`` records with this share from the attacker, int8[count * size, d]."""
    bad = round(share * size)
    out = np.empty((count, size, topics.dimension), np.int8)
    out[:, :bad] = draw(topics, [pair.attack], count * bad, key).reshape(count, bad, topics.dimension)
    out[:, bad:] = draw(topics, pair.benign, count * (size - bad), key + 1).reshape(
        count, size - bad, topics.dimension
    )
    # In any order: PRADA and SEAT look at the sequence.
    rng = np.random.default_rng([key & 0xFFFFFFFF, 0x1AD])
    return np.concatenate([block[rng.permutation(size)] for block in out])


def as_accounts(vectors: NDArray[np.int8], size: int) -> Accounts:
    """Each window as an account that sends nothing but prompts."""
    count, dimension = len(vectors) // size, vectors.shape[1]
    schema = pa.schema(
        [field for field in body_fields(EmbeddingSpace(dimension=dimension)) if field.name != "embedding"]
    )
    ids = [f"window-{i:05d}" for i in range(count)]
    rows = len(vectors)
    columns: dict[str, Any] = {field.name: pa.nulls(rows, field.type) for field in schema}
    columns["request_id"] = pa.array([f"r-{i:08d}" for i in range(rows)])
    columns["account_id"] = pa.array(np.repeat(ids, size))
    columns["event_time"] = pa.array(np.arange(rows) * 1_000_000).cast(pa.timestamp("us"))
    return Accounts(
        np.array(ids, object), np.arange(count + 1) * size, vectors, pa.table(columns, schema=schema)
    )


def alarms(name: str, calibration: Accounts, test: Accounts, pool: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which test windows a detector takes for attacks, its threshold set by the pool and the calibration windows."""
    if name == OURS:
        dimension = pool.shape[1]
        parameters = Parameters.default()
        if dimension != parameters.space.dimension:
            parameters = Parameters.generate(EmbeddingSpace(dimension=dimension))
        detector = WindowDetector(PoolModel(pool, parameters), calibration.vectors, calibration.bounds)
        return detector.judge(test.vectors, test.bounds).p_value <= OUR_LEVEL
    baseline = get_baseline(name)
    limit = threshold(baseline.score(calibration, pool))
    found: NDArray[np.bool_] = np.nan_to_num(baseline.score(test, pool), nan=-np.inf) > limit
    return found


@dataclass(frozen=True, slots=True)
class Task:
    """One pair with one window size; ``key`` is its randomness."""

    data: Path | None
    pair: Pair
    size: int
    key: int
    count: int
    names: tuple[str, ...]


def judge_pair(task: Task) -> dict[tuple[str, str], tuple[int, int]]:
    """(alarms, windows) for each detector and group of windows."""
    topics = load_topics(task.data)
    pair, size, key, count = task.pair, task.size, task.key, task.count
    pool = draw(topics, pair.benign, POOL_ROWS, key + 11)
    calibration = as_accounts(windows(topics, pair, 0.0, 2 * count, size, key + 22), size)
    groups = {"benign": (0.0, 2 * count)} | {_mix_name(m): (m, count) for m in MIXES}
    drawn = [
        windows(topics, pair, share, many, size, key + 100 * (1 + i))
        for i, (share, many) in enumerate(groups.values())
    ]
    test = as_accounts(np.concatenate(drawn), size)
    edges = np.cumsum([0, *(many for _, many in groups.values())])
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for name in task.names:
        alarmed = alarms(name, calibration, test, pool)
        for group, low, high in zip(groups, edges[:-1], edges[1:], strict=True):
            found[name, group] = (int(alarmed[low:high].sum()), int(high - low))
    return found


def run(
    data: Path | None,
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    pairs: int = PAIRS,
    count: int = 30,
    sizes: Sequence[int] = WINDOWS,
    workers: int = 1,
    report: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> dict[str, Any]:
    """Detection at each mix and the false-positive rate, per window size and detector.

    Parameters
    ----------
    count
        Windows of each mix per pair and seed, 5 at least; twice as many benign ones calibrate, and twice as many are
        judged.
    workers
        Processes.

    Raises
    ------
    UsageError
        An unknown detector, or too few windows.
    """
    for name in names:
        if name != OURS:
            get_baseline(name)
    if 2 * count < MIN_CALIBRATION:
        msg = f"{count} windows of each mix; give at least {MIN_CALIBRATION // 2}"
        raise UsageError(msg)
    topics = load_topics(data)
    tasks, places = [], []
    for number, seed in enumerate(seeds):
        for k, pair in enumerate(pairs_of(topics, pairs, seed)):
            for size in sizes:
                key = seed * 1_000_003 + k * 1009 + size
                tasks.append(Task(data, pair, size, key, count, tuple(names)))
                places.append(number)

    def told(done: int, task: Task | None, step: str = "") -> None:
        del step  # a pair has none
        what = f"{task.pair.attack} in {'+'.join(task.pair.benign)}, n={task.size}" if task else "done"
        report(done, len(tasks), what)

    hits: dict[tuple[int, str, str], list[list[tuple[int, int]]]] = {}
    by_pair: dict[str, dict[str, tuple[int, int]]] = {}
    for number, task, found in zip(
        places, tasks, in_processes(judge_pair, tasks, workers, told), strict=True
    ):
        for (name, group), counted in found.items():
            hits.setdefault((task.size, name, group), [[] for _ in seeds])[number].append(counted)
            if name == OURS:
                mine = by_pair.setdefault(f"{task.size} {task.pair.attack}", {})
                old = mine.get(group, (0, 0))
                mine[group] = (old[0] + counted[0], old[1] + counted[1])
    table = {
        str(size): {
            name: {
                group: share_over_seeds(
                    [(sum(h for h, _ in each), sum(n for _, n in each)) for each in hits[size, name, group]]
                ).to_json()
                for group in ("benign", *map(_mix_name, MIXES))
            }
            for name in names
        }
        for size in sizes
    }
    return {
        "protocol": "labrai",
        "pairs": pairs,
        "seeds": list(seeds),
        "windows_per_mix": count,
        "nominal": NOMINAL,
        "our_level": OUR_LEVEL,
        "table": table,
        "ours_by_harvested_corpus": {
            key: {group: {"alarms": hit, "of": of} for group, (hit, of) in each.items()}
            for key, each in by_pair.items()
        },
    }


def threshold(normal: NDArray[np.float64]) -> float:
    """Where a normal with the calibration windows' mean and deviation has `NOMINAL` above it; no scores, no alarm."""
    known = normal[~np.isnan(normal)]
    if len(known) < 10:
        return float("inf")
    return float(known.mean() + norm.isf(NOMINAL) * known.std(ddof=1))


def _mix_name(share: float) -> str:
    return "pure" if share == 1 else f"{share:.0%}"
