"""The shows in a short form, on the session's Kafka: each must end with 0 and say what it is to say."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world

HERE = Path(__file__).parent


def show(name: str, *arguments: str) -> str:
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_one_hash(kafka):
    printed = show("one_hash", "--records", "3000", "--bootstrap-servers", kafka.bootstrap_servers)
    assert "one digest of all profiles along every path" in printed
    assert "the light digest agrees with plain Python" in printed


def test_real_input_from_a_folder_of_embeddings(kafka, tmp_path):
    world = build_world(WorldSettings(records=1200, accounts=6, seed=4, attack_share=0.2, days=1.0))
    table = pa.concat_tables(list(Traffic(world, datetime(2026, 3, 1, tzinfo=UTC))))
    (tmp_path / "embeddings").mkdir()
    for name, rows in (("one", table.slice(0, 900)), ("two", table.slice(900))):
        embeddings = pa.table(
            {"embedding": rows.column("embedding"), "tokens": rows.column("input_tokens").cast(pa.int32())}
        )
        pq.write_table(embeddings, tmp_path / "embeddings" / f"{name}.parquet")
    printed = show("real", "--data", str(tmp_path), "--bootstrap-servers", kafka.bootstrap_servers)
    assert "landed 1,200 records and 0 rejected ones" in printed
    assert "0 lost, 0 twice, 0 differences" in printed


def test_same_alerts(kafka):
    size = ["--records", "9000", "--accounts", "60", "--seed", "11"]
    printed = show("same_alerts", *size, "--bootstrap-servers", kafka.bootstrap_servers)
    assert "the same alerts along every path" in printed
