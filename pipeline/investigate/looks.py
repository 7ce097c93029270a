"""What a worker that watched live would have said after 50, 100, 200, … records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.detectors import get_detector
from pipeline.detectors.robust import shipped_references
from pipeline.live import LookSchedule
from pipeline.measures import ENGINE_COLUMNS
from pipeline.profiles import Profiles
from pipeline.signals import Context, signal_table

if TYPE_CHECKING:
    from pipeline.engine import Engine


@dataclass(frozen=True, slots=True)
class Look:
    """``level`` is what the look may spend of the error; ``reference`` the population it was read against."""

    records: int
    score: float
    p_value: float
    level: float
    reference: str


def looks(records: pa.Table, engine: Engine, schedule: LookSchedule | None = None) -> list[Look]:
    """Looks at the first records of a table, in its order, as if one account had sent them all.

    Parameters
    ----------
    records
        In order of time; has the columns that profiles are computed from.
    engine
        Of the lake.
    """
    schedule = schedule or LookSchedule()
    references = {
        int(name.rpartition("-")[2]): each for name, each in shipped_references().items() if "-" in name
    }
    table = records.select(list(ENGINE_COLUMNS))
    at = table.schema.get_field_index("account_id")
    table = table.set_column(at, "account_id", pa.array(["one"] * len(table), pa.string()))
    detector, found = get_detector(), []
    profile, done, look = Profiles.empty(engine.parameters), 0, 0
    while (wanted := schedule.records(look)) <= len(table):
        more = engine.profiles(table.slice(done, wanted - done))
        profile, done = Profiles.merge(profile, more).total("one"), wanted
        nearest = max(n for n in references if n <= wanted or n == min(references))
        reference = references[nearest]
        judgement = detector.judge(signal_table(profile, Context(reference.population)), reference)
        found.append(
            Look(
                wanted,
                float(judgement.score[0]),
                float(judgement.p_value[0]),
                schedule.spend(look),
                reference.name,
            )
        )
        look += 1
    return found
