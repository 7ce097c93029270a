"""The leak check: whether one field, or one signal, tells generated attackers from generated benign accounts.

A simulated population in which one field decides is a leak, not a detector: habits of both must overlap as they do in
life. Per account each field gives its mean, deviation, share of records that have it, and number of distinct values (as
it is and per record); signals are those that the product publishes. Above `BOUND` the check fails.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.evaluate.figures import area
from pipeline.evaluate.lakes import ingest_log, judge, write_log
from pipeline.evaluate.worlds import build_evaluation_world
from pipeline.records.schema import OPTIONAL_FIELDS, body_fields
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.clock import Clock
    from pipeline.evaluate.worlds import EvaluationSettings

BOUND = 0.93
_HASHES = ("prompt_hash", "template_hash", "system_prompt_hash")


@dataclass(frozen=True, slots=True)
class Leak:
    """How well one number alone separates: ``area`` in [.5, 1], mean over worlds, ``higher``: attackers have more of it."""

    what: str
    kind: str
    area: float
    higher: bool

    @property
    def fails(self) -> bool:
        """Above the bound."""
        return self.area > BOUND

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "what": self.what,
            "kind": self.kind,
            "area": round(self.area, 5),
            "higher": self.higher,
            "fails": self.fails,
        }


def field_numbers(table: pa.Table) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """Accounts, and numbers of each of them from single fields, float64[n] each."""
    table = table.append_column("hour", pc.hour(table["event_time"]))
    table = table.append_column("minute", pc.minute(table["event_time"]))
    table = table.append_column("weekday", pc.day_of_week(table["event_time"]))
    numbers, words = ["hour", "minute", "weekday"], ["hour", "weekday"]
    for field in OPTIONAL_FIELDS:
        if pa.types.is_boolean(field.type):
            table = table.set_column(
                table.schema.get_field_index(field.name), field.name, table[field.name].cast(pa.int8())
            )
            numbers.append(field.name)
        elif field.name in _HASHES or pa.types.is_string(field.type):
            words.append(field.name)
        else:
            numbers.append(field.name)
            words.append(field.name)
    every = [field.name for field in OPTIONAL_FIELDS]
    wanted = [(name, how) for name in numbers for how in ("mean", "stddev")]
    wanted += [(name, "count") for name in ("request_id", *every)]
    wanted += [(name, "count_distinct") for name in words]
    grouped = table.group_by("account_id").aggregate(wanted)
    records = np.asarray(grouped["request_id_count"].to_numpy(), np.float64)
    out: dict[str, NDArray[np.float64]] = {"records": records}
    for name in grouped.column_names:
        if name in {"account_id", "request_id_count"}:
            continue
        values = np.asarray(grouped[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        if name.endswith("_count"):
            out[f"{name.removesuffix('_count')} there"] = values / records
        elif name.endswith("_count_distinct"):
            out[f"{name.removesuffix('_count_distinct')} distinct"] = values
            out[f"{name.removesuffix('_count_distinct')} distinct per record"] = values / records
        else:
            out[name.replace("_mean", " mean").replace("_stddev", " deviation")] = values
    return grouped["account_id"].to_pylist(), out


def separation(values: NDArray[np.float64], attack: NDArray[np.bool_]) -> float:
    """Area under the curve of one number; a missing value stands in the middle, no value at all is .5."""
    if np.isnan(values).all():
        return 0.5
    return area(np.where(np.isnan(values), np.nanmedian(values), values), attack)


def check_leaks(
    worlds: Sequence[EvaluationSettings],
    clock: Clock,
    *,
    detector: str = "robust",
    report: Callable[[int, str], None] = lambda _i, _what: None,
) -> list[Leak]:
    """Every field and every signal on every world, the worst first."""
    found: dict[tuple[str, str], list[float]] = {}
    for i, settings in enumerate(worlds):
        report(i, "world")
        world = build_evaluation_world(settings)
        truth = {each.account_id: each.attack for each in world.truth}
        with tempfile.TemporaryDirectory(prefix="distillwatch-evaluate-") as scratch:
            folder = Path(scratch)
            log = folder / "log.parquet"
            schema = pa.schema(body_fields(EmbeddingSpace(dimension=world.world.topics.dimension)))
            write_log(world.tables(), schema, log)
            report(i, "fields")
            names = [name for name in schema.names if name != "embedding"]
            accounts, fields = field_numbers(pq.read_table(log, columns=names))
            attack = np.array([truth[account] for account in accounts], bool)
            fields["account_id"] = np.array(
                [int(name.removeprefix("acct_"), 16) for name in accounts], np.float64
            )
            report(i, "signals")
            judged = judge(ingest_log(log, folder / "lake", clock), detector, accounts, 0.05, clock)
        for kind, numbers in (("field", fields), ("signal", judged.signals)):
            for what, values in numbers.items():
                found.setdefault((kind, what), []).append(separation(values, attack))
    leaks = []
    for (kind, what), areas in found.items():
        mean = float(np.mean(areas))
        leaks.append(Leak(what, kind, max(mean, 1 - mean), mean >= 0.5))
    return sorted(leaks, key=lambda leak: (-leak.area, leak.what))
