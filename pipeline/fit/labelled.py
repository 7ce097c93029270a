"""Worlds with known answers as matrices: every signal of every account, and what the account really is.

A world takes half a minute of one core, so it is kept in a folder under a name made of its settings and of the code that
computes signals.
"""

from __future__ import annotations

import hashlib
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.account_signals import account_signals, hourly_activity
from pipeline.backend import get_backend
from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.reference import Distribution
from pipeline.engine import Engine
from pipeline.evaluate.worlds import EvaluationSettings, build_evaluation_world
from pipeline.fit.wild import wild_kinds
from pipeline.parameters import Parameters
from pipeline.simulate.kinds import DEFAULT_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

WORLD_CODE = ("worlds", "beyond", "unseen", "groups", "surroundings", "edits", "corpora")
"""Modules of `pipeline.evaluate` that worlds are made by: a kept matrix depends on their text."""

TAMENESS = (0.0, 0.3, 0.6, 1.0)
"""How wild a world's kinds are; 1: the simulator's own ranges."""


@dataclass(frozen=True, slots=True)
class WorldPlan:
    """One world: its settings and how wild its kinds are (None: the simulator's)."""

    settings: EvaluationSettings
    tameness: float | None = None

    @property
    def key(self) -> str:
        """Name of its file: settings, and the code that computes signals."""
        settings = {name: _plain(value) for name, value in asdict(self.settings).items()}
        text = json.dumps([settings, self.tameness, code_of_signals()], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class LabelledWorld:
    """Accounts with at least `MIN_RECORDS` records of one world.

    ``values[name]`` float64[n], NaN where there is no value; ``attack`` bool[n]; ``kind`` and ``campaign`` object[n]
    (campaign "" for none); ``records`` int64[n]; ``specialist`` bool[n]: honest, on harvested content (None: not known).
    """

    values: dict[str, NDArray[np.float64]]
    attack: NDArray[np.bool_]
    kind: NDArray[np.object_]
    campaign: NDArray[np.object_]
    records: NDArray[np.int64]
    seed: int
    specialist: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.attack)

    def ranks(self, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Mid-ranks within the world, as a lake's reference gives them; NaN without a value."""
        return {name: Distribution.of(self.values[name]).rank(self.values[name]) for name in names}

    def save(self, path: Path) -> None:
        """Write it, at once or not at all."""
        names = np.array(list(self.values))
        matrix = np.stack(list(self.values.values()), axis=1)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                names=names,
                values=matrix,
                attack=self.attack,
                kind=self.kind.astype(str),
                campaign=self.campaign.astype(str),
                records=self.records,
                seed=np.array(self.seed),
                specialist=np.zeros(0, bool) if self.specialist is None else self.specialist,
            )
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> LabelledWorld:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            values = dict(zip(file["names"].tolist(), file["values"].T.copy(), strict=True))
            return cls(
                values,
                file["attack"],
                file["kind"].astype(object),
                file["campaign"].astype(object),
                file["records"],
                int(file["seed"]),
                file["specialist"] if file["specialist"].size else None,
            )


def plans(count: int, first_seed: int, data: Path | None, accounts: int = 1000) -> list[WorldPlan]:
    """Worlds of different wildness, size, base rate and length; every eighth has no metadata."""
    out = []
    for seed in range(first_seed, first_seed + count):
        rng = random.Random(f"plan {seed}")  # noqa: S311 - traffic, not secrets
        settings = EvaluationSettings(
            accounts=round(accounts * rng.choice((0.5, 1.0, 1.0, 1.5))),
            records=rng.choice((110, 160, 160, 240)),
            seed=seed,
            attack_share=rng.choice((0.03, 0.06, 0.1, 0.1)),
            days=rng.choice((7.0, 10.0, 14.0)),
            metadata=seed % 8 != 7,
            data=data,
        )
        out.append(WorldPlan(settings, rng.choice(TAMENESS)))
    return out


def build(plan: WorldPlan) -> LabelledWorld:
    """Generate a world and compute every signal of its accounts, by the code that scores a lake."""
    catalogue = DEFAULT_KINDS
    if plan.tameness is not None:
        rng = random.Random(f"wild {plan.settings.seed}")  # noqa: S311 - traffic, not secrets
        catalogue = wild_kinds(rng, plan.tameness)
    world = build_evaluation_world(plan.settings, catalogue)
    truth = {each.account_id: each for each in world.truth}
    enough = pa.array([name for name, each in truth.items() if each.records >= MIN_RECORDS])
    table = pa.concat_tables([part.filter(pc.is_in(part["account_id"], enough)) for part in world.tables()])
    parameters, backend = Parameters.default(), get_backend("numpy")
    windows = Engine(parameters, backend).profiles(table)
    profiles = windows.by_account()
    row = {account: i for i, account in enumerate(profiles.account_id)}
    rows = np.array([row[account] for account in windows.account_id], np.int64)
    activity = hourly_activity(rows, windows.window_start, windows.records, len(profiles))
    signals = account_signals(profiles, activity, table, parameters, backend)
    names = [str(name) for name in signals.account_id]
    return LabelledWorld(
        dict(signals.columns),
        np.array([truth[name].attack for name in names], bool),
        np.array([truth[name].kind for name in names], object),
        np.array([truth[name].campaign or "" for name in names], object),
        signals.records,
        plan.settings.seed,
        np.array([truth[name].specialist for name in names], bool),
    )


def worlds(wanted: Sequence[WorldPlan], folder: Path | None, workers: int = 1) -> Iterator[LabelledWorld]:
    """Each world in order, from the folder if it is there, else made and kept."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        yield from (_one(plan, folder) for plan in wanted)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_one, wanted, [folder] * len(wanted))


def _one(plan: WorldPlan, folder: Path | None) -> LabelledWorld:
    path = None if folder is None else folder / f"world-{plan.settings.seed}-{plan.key}.npz"
    if path is not None and path.exists():
        return LabelledWorld.load(path)
    world = build(plan)
    if path is not None:
        world.save(path)
    return world


def without(world: LabelledWorld, keep: NDArray[np.bool_]) -> LabelledWorld:
    """Some of the accounts; their values stay as they were among all."""
    values = {name: each[keep] for name, each in world.values.items()}
    return replace(
        world,
        values=values,
        attack=world.attack[keep],
        kind=world.kind[keep],
        campaign=world.campaign[keep],
        records=world.records[keep],
        specialist=None if world.specialist is None else world.specialist[keep],
    )


@cache
def code_of_signals() -> str:
    """Fingerprint of the source of signals, readings and worlds: what a kept matrix depends on."""
    root = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for folder in ("signals", "simulate"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    named = [f"evaluate/{name}.py" for name in WORLD_CODE]
    for name in ("readings.py", "measures.py", "account_signals.py", *named, "fit/wild.py"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Path) else value
