"""The product under its conditions of use: a log file, `ingest`, `score`, nothing labelled, no history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.detectors import get_detector
from pipeline.ingest import ingest_file
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.scoring import judge_lake
from pipeline.simulate.sinks import FileSink

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.clock import Clock
    from pipeline.lake import Lake


# Columns of account_scores that are no signals.
JUDGEMENTS = ("score", "p_value", "q_value")


@dataclass(frozen=True, slots=True)
class LakeScores:
    """What the product says about accounts, in the order they were asked for.

    ``score`` float64[n] (NaN: no score); ``listed`` bool[n]: in the alert list as an account; ``by_cluster`` bool[n]:
    in the list as a member of a cluster; ``signals`` float64[n] each, as published; ``seconds`` it took.
    """

    score: NDArray[np.float64]
    listed: NDArray[np.bool_]
    by_cluster: NDArray[np.bool_]
    clusters: tuple[tuple[str, ...], ...]
    signals: dict[str, NDArray[np.float64]]
    seconds: float


def write_log(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Records as a Parquet log; gives their number."""
    rows = 0
    with FileSink(path, schema, "parquet") as sink:
        for table in tables:
            sink.write(table)
            rows += table.num_rows
    return rows


def shorten_log(path: Path, out: Path, most: int) -> None:
    """A log with the first ``most`` records of each account that has as many; order of time is kept."""
    table = pq.read_table(path)
    codes = np.asarray(table["account_id"].combine_chunks().dictionary_encode().indices, np.int64)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = (place < most) & (counts[codes] >= most)
    pq.write_table(table.filter(pa.array(keep)), out, compression="zstd", compression_level=1)


def ingest_log(path: Path, folder: Path, clock: Clock) -> Lake:
    """A new lake with this log, through the same decoder, engine and landing as the command."""
    lake = open_or_create_lake(folder, clock=clock)
    ingest_file(
        lake,
        engine_for(lake, "numpy"),
        RecordDecoder(lake.config.space, pseudonyms=None, adapter="auto", max_future_seconds=0.0),
        path,
        clock=clock,
        settings=LandingSettings(
            segment_records=65_536,
            segment_seconds=float("inf"),
            roll_up_seconds=float("inf"),
            max_future_seconds=None,
        ),
    )
    return lake


def judge(lake: Lake, detector: str, accounts: Sequence[str], fdr: float, clock: Clock) -> LakeScores:
    """Score a lake with a detector of the registry, as `distillwatch score` does."""
    started = clock.monotonic()
    scoring = judge_lake(lake.snapshot(), engine_for(lake, "numpy"), detector=get_detector(detector), fdr=fdr)
    seconds = clock.monotonic() - started
    table = scoring.tables["account_scores"]
    place = {account: i for i, account in enumerate(table["account_id"].to_pylist())}
    rows = np.array([place.get(account, -1) for account in accounts], np.int64)
    score = np.append(
        np.asarray(table["score"].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64), np.nan
    )
    alerts = np.append(np.asarray(pc.equal(table["decision"], "alert").fill_null(False).to_numpy()), False)
    clusters = tuple(tuple(alert.members) for alert in scoring.alerts if alert.subject_kind == "cluster")
    signals = {
        name: np.append(np.asarray(table[name].to_numpy(zero_copy_only=False), np.float64), np.nan)[rows]
        for name in table.column_names
        if pa.types.is_float64(table.schema.field(name).type) and name not in JUDGEMENTS
    }
    members = {member for cluster in clusters for member in cluster}
    return LakeScores(
        score[rows],
        alerts[rows],
        np.array([account in members for account in accounts], bool),
        clusters,
        signals,
        seconds,
    )
