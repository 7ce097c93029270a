"""The same lake gives the same tables, fingerprints and alerts on another processor.

Matrix libraries, numpy and the C library choose their code by the processor, and the last digits of eigenvalues, logarithms
and products depend on the choice. All can be told to take that of an older one.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy._core import _multiarray_umath

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import ManualClock
from pipeline.ingest import ingest_file
from pipeline.landing import LandingSettings
from pipeline.records.decode import RecordDecoder
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

if TYPE_CHECKING:
    from pathlib import Path

JUDGE = """
import hashlib, json, sys
import numpy as np
from numpy._core import _multiarray_umath
from pipeline.assembly import engine_for, open_lake
from pipeline.clock import ManualClock
from datetime import UTC, datetime
from pathlib import Path
from pipeline.scoring import judge_lake

lake = open_lake(Path(sys.argv[1]), clock=ManualClock(datetime(2026, 1, 20, tzinfo=UTC)))
found = judge_lake(lake.snapshot(), engine_for(lake, "numpy"))
said = {name: hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest() for name, table in found.tables.items()}
logs = np.log(np.linspace(1, 2, 100_000)) ** 3 + np.exp(np.linspace(-1, 1, 100_000))
matrix = np.cos(np.arange(128 * 128.0)).reshape(128, 128)
print(json.dumps({
    "own": found.reference.name,
    "alerts": [alert.alert_id for alert in found.alerts],
    "reference": found.reference.fingerprint,
    "tables": said,
    "arithmetic": hashlib.sha256(logs.tobytes() + (matrix @ matrix).tobytes()).hexdigest(),
}))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the switches are those of x86-64")
@pytest.mark.parametrize(
    ("records", "accounts", "seed"),
    [
        (60_000, 400, 31),
        *(pytest.param(90_000, 600, seed, marks=pytest.mark.slow) for seed in range(42, 50)),
    ],
)
def test_another_processor_says_the_same(tmp_path: Path, records: int, accounts: int, seed: int) -> None:
    world = build_world(
        WorldSettings(records=records, accounts=accounts, seed=seed, attack_share=0.08, days=4)
    )
    log = tmp_path / "log.parquet"
    pq.write_table(pa.concat_tables(Traffic(world, datetime(2026, 1, 12, tzinfo=UTC))), log)
    clock = ManualClock(datetime(2026, 1, 20, tzinfo=UTC))
    lake = open_or_create_lake(tmp_path / "lake", clock=clock)
    ingest_file(
        lake,
        engine_for(lake, "numpy"),
        RecordDecoder(lake.config.space, adapter="native"),
        log,
        clock=clock,
        settings=LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf")),
    )
    older = {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": " ".join(
            name
            for name in _multiarray_umath.__cpu_dispatch__
            if _multiarray_umath.__cpu_features__.get(name)
        ),
        # Of glibc; others do not read it.
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4",
    }
    here, there = (
        json.loads(
            subprocess.run(
                [sys.executable, "-c", JUDGE, str(lake.root)],
                env={**os.environ, **more},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for more in ({}, older)
    )
    if here.pop("arithmetic") == there.pop("arithmetic"):
        pytest.skip("this machine computes like the older one")
    assert here["own"] == "lake"
    assert here["alerts"]
    assert here == there
