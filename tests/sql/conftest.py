"""Small lakes, written the way the program writes them: landers, roll-ups, result tables, live alerts."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for
from pipeline.clock import ManualClock
from pipeline.engine import Engine
from pipeline.evaluate.lakes import ingest_log, write_log
from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.parameters import Parameters
from pipeline.records.schema import REJECTED_SCHEMA, Decoded, record_schema
from pipeline.scoring import score_lake
from pipeline.simulate.labels import Label, read_labels, write_labels
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.spaces import EmbeddingSpace
from pipeline.tables import TABLES, table_schema
from pipeline.warehouse import connect, playbook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SPACE = EmbeddingSpace("test-model", 8)
NOW = datetime(2026, 2, 1, tzinfo=UTC)


@cache
def parameters() -> Parameters:
    return Parameters.generate(SPACE, seed="sql")


def embedding(direction: int) -> bytes:
    """A grid vector along one of the 16 half-axes: records of one direction share a topic."""
    vector = np.zeros(SPACE.dimension, np.int8)
    vector[direction % 8] = 51 if direction < 8 else -51
    return vector.tobytes()


def _full(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with only the interesting columns, completed: times from text, lists empty, the rest null."""
    arrays = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_timestamp(field.type):
            values = [
                datetime.fromisoformat(v).replace(tzinfo=None) if isinstance(v, str) else v for v in values
            ]
        elif pa.types.is_list(field.type):
            values = [[] if value is None else value for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


class LakeBuilder:
    """A lake that grows step by step."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock(NOW)
        self.lake = Lake.create(path, parameters=parameters(), clock=self.clock)
        self.engine = Engine(parameters())
        self._landers: dict[tuple[str, int], PartitionLander] = {}

    @property
    def path(self) -> Path:
        return self.lake.root

    def lander(self, topic: str, partition: int) -> PartitionLander:
        if (topic, partition) not in self._landers:
            topic_id = f"id-of-{topic}"
            self.lake.begin(topic_id, partition, topic=topic, start=0, cluster_id="cluster-1")
            self._landers[topic, partition] = PartitionLander(
                self.lake,
                self.engine,
                topic=topic,
                topic_id=topic_id,
                partition=partition,
                cluster_id="cluster-1",
                settings=LandingSettings(),
                clock=self.clock,
            )
        return self._landers[topic, partition]

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Hand over records, and rejected ones (those with a ``reason``), one offset each."""
        for row in rows:
            lander = self.lander(row.get("topic", "llm-api-logs"), row.get("partition", 0))
            offset = lander.next_offset
            whole = {
                "request_id": f"r{offset}",
                "embedding": embedding(row.get("direction", 0)),
                **row,
                "topic_id": lander.chain.topic_id,
                "topic": lander.topic,
                "partition": lander.chain.partition,
                "offset": offset,
                "row": 0,
            }
            records = rejected = []
            if "reason" in row:
                raw = row.get("raw", "").encode()
                rejected = [{**whole, "raw": raw, "raw_bytes": len(raw)}]
            else:
                records = [whole]
            lander.accept(
                Decoded(_full(record_schema(SPACE), records), _full(REJECTED_SCHEMA, rejected), {}),
                offset,
                offset + 1,
            )

    def land(self) -> None:
        """One segment of what every partition holds."""
        for lander in self._landers.values():
            lander.land()

    def roll_up(self) -> None:
        """Segments, then windows."""
        self.land()
        for lander in self._landers.values():
            lander.roll_up()

    def compact(self) -> None:
        """Everything landed, into one run."""
        self.land()
        assert compact(self.lake, self.engine) is not None
        for lander in self._landers.values():
            lander.reload()

    def publish(self, name: str, rows: list[dict[str, Any]]) -> None:
        """A result table of these rows."""
        file = self.lake.put_table(name, _full(table_schema(name), rows))
        self.lake.publish(lambda manifest: manifest.with_tables(name, [file], append=True))

    def raise_alert(self, alert: dict[str, Any]) -> None:
        """An alert as the worker puts it into the lake."""
        assert self.lake.store.put_bytes(json.dumps(alert).encode(), f"alerts/{alert['alert_id']}.json")

    def mark(self, mark: dict[str, Any]) -> None:
        """An account that somebody else's indicator names, as an import puts it into the lake."""
        about = {
            "sender": "partner",
            "tlp": "amber",
            "imported_at": "2026-01-20T00:00:00",
            "imported_by": "tester",
        }
        document = {**about, "marks": [mark]}
        name = f"indicators/{mark['account_id']}-{mark['indicator_id']}.json"
        assert self.lake.store.put_bytes(json.dumps(document).encode(), name)

    def step(self, line: dict[str, Any]) -> None:
        """One line of a golden case's story."""
        table = line.get("table")
        if "step" in line:
            {"land": self.land, "roll_up": self.roll_up, "compact": self.compact}[line["step"]]()
        elif table == "live_alert":
            self.raise_alert({key: value for key, value in line.items() if key != "table"})
        elif table == "indicator_marks":
            self.mark({key: value for key, value in line.items() if key != "table"})
        elif table in TABLES:
            self.publish(table, [line])
        else:
            assert table is None, f"unknown table {table}"
            self.add([line])


@pytest.fixture
def build(tmp_path: Path) -> Callable[[], LakeBuilder]:
    return lambda: LakeBuilder(tmp_path / "lake")


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing but the file that makes a folder a lake."""
    whole = LakeBuilder(tmp_path_factory.mktemp("empty") / "whole").path
    bare = tmp_path_factory.mktemp("bare")
    (bare / "lake.json").write_bytes((whole / "lake.json").read_bytes())
    return bare


@pytest.fixture(scope="session")
def empty_session(empty_lake: Path) -> Any:
    return connect(empty_lake)


def make_population(builder: LakeBuilder) -> None:
    """Forty accounts over two days on two partitions, landed in uneven pieces: some windows have several deltas."""
    rng = np.random.default_rng(7)
    for piece, count in enumerate((90, 1, 260, 40)):
        builder.add(
            {
                "account_id": f"account-{rng.integers(40):02d}",
                "event_time": str(np.datetime64("2026-01-10", "us") + rng.integers(0, 48 * 3600 * 10**6)),
                "partition": int(rng.integers(2)),
                "direction": int(rng.integers(16)),
                "input_tokens": int(rng.integers(0, 5000)) if rng.random() < 0.9 else None,
                "output_tokens": int(rng.integers(0, 900)),
                "latency_ms": int(rng.integers(1, 9000)),
                "temperature": float(rng.choice([0.0, 0.7])),
                "model": str(rng.choice(["m-1", "m-2"])),
                "template_hash": int(rng.integers(0, 9)) * 2**60 + 5,
                "client_network": f"10.{rng.integers(5)}.0.0/16",
                "status": str(rng.choice(["ok", "error", "refused"])),
                "reasoning_requested": bool(rng.integers(2)),
            }
            for _ in range(count)
        )
        # Enough in one window for a heavy row in several roll-ups.
        builder.add(
            {
                "account_id": "busy",
                "event_time": f"2026-01-10T12:{minute:02d}:00",
                "direction": minute + piece,
            }
            for minute in range(9)
        )
        if piece < 3:
            builder.roll_up()
    builder.land()


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> LakeBuilder:
    builder = LakeBuilder(tmp_path_factory.mktemp("populated") / "lake")
    make_population(builder)
    return builder


@pytest.fixture(scope="session")
def populate() -> Callable[[LakeBuilder], None]:
    return make_population


# Seven days of 360 accounts, a tenth of them attacking, in every way there is.
WORLD = WorldSettings(records=26_000, accounts=360, seed=7, attack_share=0.1, days=7)

# As long, and nobody attacks.
PEACE = WorldSettings(records=26_000, accounts=360, seed=991, attack_share=0, days=7)


@dataclass(frozen=True)
class Planted:
    """A simulated lake, landed and scored, with the truth about every account."""

    path: Path
    labels: dict[str, Label]
    session: Any

    def of(self, *kinds: str, least: int = 0) -> list[str]:
        """Accounts of these kinds with so many records, the largest first."""
        found = [each for each in self.labels.values() if each.kind in kinds and each.records >= least]
        return [each.account_id for each in sorted(found, key=lambda each: (-each.records, each.account_id))]

    def kind(self, account: str) -> str:
        return self.labels[account].kind

    def attacks(self, account: str) -> bool:
        return self.labels[account].attack

    def counts(self, accounts: Iterable[str]) -> Counter[str]:
        """How many of each kind."""
        return Counter(self.kind(account) for account in accounts)

    def ask(self, name: str, **given: object) -> list[dict[str, Any]]:
        """Rows of a playbook."""
        file = playbook(name)
        cursor = self.session.cursor().execute(
            file.statement, file.bind({key: str(value) for key, value in given.items()})
        )
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    @cached_property
    def landed(self) -> list[dict[str, Any]]:
        """Every record in the files of the segments, in order of the log: what answers are computed anew from."""
        files = sorted((self.path / "segments").glob("**/*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        return [row for row in rows if row["kind"] == "record"]

    def records_of(self, *accounts: str) -> list[dict[str, Any]]:
        """Those of some accounts, in order of time."""
        found = [row for row in self.landed if row["account_id"] in accounts]
        return sorted(found, key=lambda row: (row["event_time"], row["request_id"], row["offset"]))

    def stored(self, name: str) -> list[dict[str, Any]]:
        """Rows of the files that the manifest names for a result table."""
        return [row for file in Lake.open(self.path).snapshot().table_files(name) for row in _rows(file)]


def _rows(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def make_planted(folder: Path, settings: WorldSettings = WORLD) -> None:
    """Write log, labels and lake."""
    world = build_world(settings)
    traffic = Traffic(world, NOW)
    write_log(iter(traffic), traffic.schema, folder / "log.parquet")
    write_labels(world.labels, folder / "labels.jsonl")
    lake = ingest_log(folder / "log.parquet", folder / "lake", ManualClock(NOW))
    score_lake(lake, lake.snapshot(), engine_for(lake, "numpy"), ManualClock(NOW))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Gives a folder that is filled once per session, or once for both versions of DuckDB: `tools/test_sql.py` names one."""

    def once(name: str, make: Callable[[Path], None]) -> Path:
        shared = os.environ.get("DISTILLWATCH_PLANTED")
        folder = (Path(shared) if shared else tmp_path_factory.mktemp("made")) / name
        folder.mkdir(exist_ok=True)
        # Several processes of one run may ask for it at once: the first makes it, the others wait.
        with (folder / ".making").open("w") as making:
            fcntl.flock(making, fcntl.LOCK_EX)
            if not (folder / "made").exists():
                make(folder)
                (folder / "made").touch()
        return folder

    return once


@pytest.fixture(scope="session")
def planted(made: Callable[[str, Callable[[Path], None]], Path]) -> Planted:
    """A lake with attackers of every kind."""
    return opened(made("planted", make_planted))


@pytest.fixture(scope="session")
def peaceful(made: Callable[[str, Callable[[Path], None]], Path]) -> Planted:
    """A lake without any attacker."""
    return opened(made("peaceful", lambda folder: make_planted(folder, PEACE)))


def opened(folder: Path) -> Planted:
    """What `make_planted` made."""
    labels = {label.account_id: label for label in read_labels(folder / "labels.jsonl")}
    return Planted(folder / "lake", labels, connect(folder / "lake"))
