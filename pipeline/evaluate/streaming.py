"""Live looks, measured: a world's records in order of time through the live scorer, and who is ever accused.

The scorer is the worker's (`pipeline.live`), with its schedule of looks at 50, 100, 200, … records and its spending of the
level. Beside it the same scorer looks after every 50 records at the full level: what a product would do that forgot that
looking often costs. Nothing is landed; profiles are kept in memory, which changes no figure.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.engine import Engine
from pipeline.evaluate.figures import Estimate, share_over_seeds
from pipeline.evaluate.workers import say
from pipeline.evaluate.worlds import build_evaluation_world
from pipeline.live import LiveScorer, LookSchedule, Snapshotted
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.evaluate.worlds import EvaluationSettings, Truth

STEP = 50
SCHEDULE, EVERY_STEP = "schedule", "every 50"
# Records between two looks at who is due; an account that grows past several looks meanwhile has the last one.
CHUNK = 512
_MERGE = 32
_WINDOW_SECONDS = 86_400 * 20_000

WITHIN, ABOVE = "within", "above"
SEEMS_WITHIN, SEEMS_ABOVE = "not told apart, measured within", "not told apart, measured above"
NOBODY = "nobody to accuse"


@dataclass(frozen=True, slots=True)
class EveryFifty(LookSchedule):
    """A look after every `STEP` records, each at the full level: the false alarms of all looks add up."""

    def records(self, look: int) -> int:
        """Records at which this look is due."""
        return STEP * (look + 1)

    def look_at(self, records: int) -> int | None:
        """The last look that is due at this many records."""
        return None if records < self.first else records // STEP - 1

    def spend(self, look: int) -> float:  # noqa: ARG002 - the same at every look
        """Level of this look."""
        return self.alpha


class Memory:
    """Profiles of all records so far: the live scorer's source without a lake."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts = [Profiles.empty(engine.parameters)]

    def add(self, table: pa.Table) -> None:
        """Take in records."""
        self._parts.append(self._engine.profiles(table))
        if len(self._parts) > _MERGE:
            self._parts = [Profiles.merge(*self._parts)]

    def __call__(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> Snapshotted:  # noqa: ARG002
        """Profiles of these accounts."""
        parts = [part.of_accounts(list(accounts)) for part in self._parts]
        return Snapshotted(Profiles.merge(*parts), {}, 0)


@dataclass(slots=True)
class Streamed:
    """One world: ``first[schedule][i]`` are the records at which account i was first accused, 0 if never."""

    settings: EvaluationSettings
    truth: tuple[Truth, ...]
    records: int
    alpha: float
    first: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Task:
    """One world and the level."""

    settings: EvaluationSettings
    alpha: float


def stream(task: Task) -> Streamed:
    """Send a world through the live scorer."""
    say("world")
    world = build_evaluation_world(task.settings)
    dimension = world.world.topics.dimension
    parameters = Parameters.default()
    if dimension != parameters.space.dimension:
        parameters = Parameters.generate(EmbeddingSpace(dimension=dimension))
    engine = Engine(parameters, window_seconds=_WINDOW_SECONDS)
    source = Memory(engine)
    scorers = {
        SCHEDULE: LiveScorer(source, engine, schedule=LookSchedule(alpha=task.alpha)),
        EVERY_STEP: LiveScorer(source, engine, schedule=EveryFifty(alpha=task.alpha)),
    }
    place = {each.account_id: i for i, each in enumerate(world.truth)}
    first = {name: np.zeros(len(place), np.int64) for name in scorers}
    say("records one after the other")
    for table in world.tables():
        for start in range(0, table.num_rows, CHUNK):
            part = table.slice(start, CHUNK)
            source.add(part)
            for name, scorer in scorers.items():
                for alert in scorer.look(scorer.observe(part), []):
                    account = place[alert["members"][0]]
                    if not first[name][account]:
                        first[name][account] = int(json.loads(alert["provenance"])["look"])
    return Streamed(task.settings, world.truth, world.records, task.alpha, first)


def against_bound(accused: Estimate, alpha: float) -> str:
    """Whether a share of accounts keeps a promised level: only an interval that lies on one side of it says so.

    Returns
    -------
    str
        `WITHIN`: value and interval are at most the level. `ABOVE`: both are above it. `SEEMS_WITHIN` and `SEEMS_ABOVE`:
        the value is on that side and the interval reaches over to the other; more worlds would tell. `NOBODY`: no accounts.

    Examples
    --------
    >>> [against_bound(Estimate(v, low, high), 0.1) for v, low, high in ((0.02, 0, 0.1), (0.05, 0, 0.2), (0.2, 0.05, 0.4))]
    ['within', 'not told apart, measured within', 'not told apart, measured above']
    """
    if math.isnan(accused.value):
        return NOBODY
    if accused.value <= alpha:
        return WITHIN if accused.high <= alpha else SEEMS_WITHIN
    return ABOVE if accused.low > alpha else SEEMS_ABOVE


def summarise_streams(worlds: Sequence[Streamed]) -> dict[str, Any]:
    """Ever accused, per benign class, against the level; attackers found, and the records that they had sent by then.

    Of each schedule ``bound`` says what `against_bound` does, and ``within_bound`` is true for `WITHIN` alone: false is not
    "above", it is "not shown to be within".
    """
    schedules = list(worlds[0].first)
    kinds = sorted({each.kind for world in worlds for each in world.truth if not each.attack})
    attacks = sorted({each.kind for world in worlds for each in world.truth if each.attack})

    def rate(name: str, choose: Callable[[Truth], bool]) -> Estimate:
        counts = []
        for world in worlds:
            rows = np.array([each.records >= STEP and choose(each) for each in world.truth], bool)
            counts.append((int((world.first[name][rows] > 0).sum()), int(rows.sum())))
        return share_over_seeds(counts)

    def of(kind: str) -> Callable[[Truth], bool]:
        return lambda each: each.kind == kind

    found = {}
    for name in schedules:
        when = [
            int(n)
            for world in worlds
            for each, n in zip(world.truth, world.first[name], strict=True)
            if each.attack and n
        ]
        quartiles = np.quantile(when, (0.25, 0.5, 0.75), method="inverted_cdf").tolist() if when else None
        accused = rate(name, lambda each: not each.attack)
        found[name] = {
            "accused": {
                "all": accused.to_json(),
                "specialists": rate(name, lambda each: each.specialist).to_json(),
                "on a campus": rate(name, lambda each: each.campus).to_json(),
                **{kind: rate(name, of(kind)).to_json() for kind in kinds},
            },
            "found": {
                "all": rate(name, lambda each: each.attack).to_json(),
                **{kind: rate(name, of(kind)).to_json() for kind in attacks},
            },
            "records_when_found": quartiles,
            "bound": (bound := against_bound(accused, worlds[0].alpha)),
            "within_bound": bound == WITHIN,
        }
    return {
        "alpha": worlds[0].alpha,
        "worlds": [
            {
                "seed": w.settings.seed,
                "accounts": len(w.truth),
                "records": w.records,
                "attack_share": w.settings.attack_share,
            }
            for w in worlds
        ],
        "schedules": found,
    }
