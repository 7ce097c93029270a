"""Simulated worlds as signal tables with labels: what the detectors are fitted and judged on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.detectors.base import MIN_RECORDS
from pipeline.engine import Engine
from pipeline.parameters import Parameters
from pipeline.profiles import Profiles
from pipeline.signals import Context, Population, signal_table
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import build_world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.signals import SignalTable
    from pipeline.simulate.labels import Label
    from pipeline.simulate.world import WorldSettings

END = datetime(2026, 1, 12, tzinfo=UTC)
LOOKS = (50, 100, 200, 400, 800)
# One window for everything: only whole accounts are looked at here.
_WINDOW_SECONDS = 86_400 * 20_000


@dataclass(frozen=True, slots=True)
class WorldSignals:
    """One world: its accounts' signals, whole and after their first records, with the truth about them.

    ``whole`` has every account; ``looks[n]`` those with at least n records, by their first n.
    """

    settings: WorldSettings
    population: Population
    whole: SignalTable
    looks: Mapping[int, SignalTable]
    labels: Mapping[str, Label]

    def attacking(self, table: SignalTable) -> NDArray[np.bool_]:
        """Whether each account of a table attacks."""
        return np.array([self.labels[account].attack for account in table.account_id], bool)

    def kinds(self, table: SignalTable) -> NDArray[np.object_]:
        """Kind of each account of a table."""
        return np.array([self.labels[account].kind for account in table.account_id], object)


def first_records(world_settings: WorldSettings, looks: Sequence[int]) -> tuple[list[Profiles], list[Label]]:
    """Profiles by account of the records between looks: ``[0, looks[0])``, ``[looks[0], looks[1])``, …, the rest."""
    world = build_world(world_settings)
    engine = Engine(Parameters.default(), window_seconds=_WINDOW_SECONDS)
    number = {account: i for i, account in enumerate(world.account_ids)}
    seen = np.zeros(len(number), np.int64)
    bands: list[list[Profiles]] = [[] for _ in range(len(looks) + 1)]
    for table in Traffic(world, END):
        account = np.array([number[name] for name in table["account_id"].to_pylist()], np.int64)
        order = np.argsort(account, kind="stable")
        counts = np.bincount(account, minlength=len(seen))
        start = np.repeat(np.cumsum(counts) - counts, counts)
        ordinal = np.empty(len(account), np.int64)
        ordinal[order] = seen[account[order]] + np.arange(len(account)) - start
        seen += counts
        band = np.searchsorted(np.asarray(looks), ordinal, side="right")
        for i in range(len(bands)):
            rows = np.flatnonzero(band == i)
            if len(rows):
                bands[i].append(engine.profiles(table.take(pa.array(rows))))
                if len(bands[i]) >= 8:
                    bands[i] = [Profiles.merge(*bands[i])]
    empty = Profiles.empty(engine.parameters)
    return [Profiles.merge(empty, *parts).by_account() for parts in bands], world.labels


def simulate_signals(settings: WorldSettings, looks: Sequence[int] = LOOKS) -> WorldSignals:
    """Generate a world and read its signals."""
    bands, labels = first_records(settings, looks)
    whole = Profiles.merge(*bands).by_account()
    population = Population.of(whole)
    context = Context(population)
    at_looks: dict[int, SignalTable] = {}
    so_far = Profiles.empty(whole.parameters)
    for look, band in zip(looks, bands, strict=False):
        so_far = Profiles.merge(so_far, band).by_account()
        at_looks[look] = signal_table(so_far.take(so_far.records >= look), context)
    return WorldSignals(
        settings,
        population,
        signal_table(whole.take(whole.records >= MIN_RECORDS), context),
        at_looks,
        {label.account_id: label for label in labels},
    )
