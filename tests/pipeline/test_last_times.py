"""Records from the end of year 9999, as a lake may hold them from before they were refused: a window's end is no time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import ManualClock
from pipeline.ingest import ingest_file
from pipeline.lake.reader import read_records
from pipeline.landing import LandingSettings
from pipeline.live import LakeSource, LiveScorer, LookSchedule
from pipeline.records import checks
from pipeline.records.decode import RecordDecoder
from pipeline.replay import replay
from pipeline.scoring import score_lake
from pipeline.times import moment

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engine import Engine
    from pipeline.lake import Lake

END = datetime(9999, 12, 31, 23, 59, 59, 999999)
CLOCK = ManualClock(datetime(2026, 1, 12, tzinfo=UTC))


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Lake, Engine]:
    """Two accounts with 60 records each, all of one and the last of the other in the last hour there is."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(120):
        vector = rng.standard_normal(384)
        late = number % 2 == 0 or number == 119
        record = {
            "request_id": f"r{number}",
            "account_id": f"a{number % 2}",
            "event_time": "9999-12-31T23:30:00Z" if late else "2026-01-01T00:00:00Z",
            "embedding": (vector / np.linalg.norm(vector)).tolist(),
        }
        lines.append(json.dumps(record) + "\n")
    path = tmp_path / "log.jsonl"
    path.write_text("".join(lines))
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    engine = engine_for(lake, "numpy")
    last = (END - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    monkeypatch.setattr(checks, "LATEST", last)
    decoder = RecordDecoder(lake.config.space)
    result = ingest_file(lake, engine, decoder, path, clock=CLOCK, settings=LandingSettings())
    assert (result.records, result.rejected) == (120, 0)
    return lake, engine


def test_scores_and_looks_end_with_the_last_time_there_is(lake: tuple[Lake, Engine]) -> None:
    one, engine = lake
    scored = score_lake(one, one.snapshot(), engine, CLOCK, lookback=timedelta(days=1))
    assert scored.tables["account_scores"]["last_seen"].to_pylist() == [END, END]
    scorer = LiveScorer(LakeSource(one, engine), engine, schedule=LookSchedule(alpha=1 - 1e-9, margin=1))
    due = scorer.observe(read_records(one.snapshot(), columns=["account_id"]))
    assert due == ["a0", "a1"]
    scorer.look(due, [])
    # Both were judged.
    assert scorer._judged == {"a0": 0, "a1": 0}
    assert replay(one, engine, clock=CLOCK).published


def test_a_moment_beyond_the_last_is_the_last() -> None:
    at = (END - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    assert [moment(at - 1), moment(at), moment(at + 1), moment(2**63 - 1)] == [
        END - timedelta(microseconds=1),
        END,
        END,
        END,
    ]
