"""A lake, secrets around it that nobody may read, and a listener that nobody may reach."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.lake import Lake
from pipeline.parameters import Parameters
from pipeline.sandbox import AuditLog, Limits, Sandbox, landlock
from pipeline.spaces import EmbeddingSpace
from pipeline.tables import ACCOUNT_SCORES, table_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOMY = Limits(seconds=10, memory_bytes=512 << 20)
SECRET = "canary-7f3a91c2"


def make_lake(path: Path) -> Lake:
    """Seven scored accounts (manifest 1), then a verdict (manifest 2)."""
    lake = Lake.create(path, parameters=Parameters.generate(EmbeddingSpace("test-model", 8), seed="sandbox"))
    rows = [
        dict.fromkeys(ACCOUNT_SCORES.names)
        | {
            "account_id": f"account-{i}", "as_of": 1_768_000_000_000_000, "records": 50 + i, "score": i / 8,
            "p_value": 1 / (i + 3), "decision": "clear", "detector": "d",
        }
        for i in range(7)
    ]  # fmt: skip
    scores = lake.put_table("account_scores", pa.Table.from_pylist(rows, schema=ACCOUNT_SCORES))
    lake.publish(lambda manifest: manifest.with_tables("account_scores", [scores]))
    verdict = dict.fromkeys(table_schema("verdicts").names) | {
        "verdict_id": "v1", "subject_kind": "account", "subject_id": "account-1", "verdict": "benign", "owner": "kim",
        "decided_at": 0,
    }  # fmt: skip
    verdicts = lake.put_table("verdicts", pa.Table.from_pylist([verdict], schema=table_schema("verdicts")))
    lake.publish(lambda manifest: manifest.with_tables("verdicts", [verdicts], append=True))
    return lake


@dataclass
class World:
    """A lake and what surrounds it."""

    folder: Path
    lake: Path
    outside: Path
    port: int
    connections: list[str] = field(default_factory=list)

    @property
    def live(self) -> Path:
        """A live file of the lake."""
        return next((self.lake / "tables" / "account_scores").glob("*.parquet"))

    def fill(self, sql: str) -> str:
        """A hostile statement with this world's names."""
        return sql.format(
            lake=self.lake, outside=self.outside, new=self.folder / "written", live=self.live, port=self.port,
            parent=os.getpid(),
        )  # fmt: skip

    def state(self, *, contents: bool = True) -> dict[str, str]:
        """Every file and folder with its content, except the record of queries: what must not change."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_relative_to(self.lake / "audit"):
                continue
            about = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if contents and path.is_file() else ""
            found[str(path)] = f"{about.st_mode} {about.st_mtime_ns} {about.st_size} {content}"
        return found


def _surround(folder: Path, port: int) -> World:
    lake = make_lake(folder / "lake").root
    outside = folder / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    (outside / "secret.csv").write_text(f"secret\n{SECRET}\n")
    (outside / "secret.json").write_text(f'{{"secret": "{SECRET}"}}\n')
    pq.write_table(pa.table({"secret": [SECRET]}), outside / "secret.parquet")
    (outside / "evil.duckdb_extension").write_bytes(b"\0" * 4096)
    with duckdb.connect(str(outside / "secret.duckdb")) as database:
        database.execute(f"create table t as select '{SECRET}' as secret")
    (folder / "lake-2").mkdir()
    pq.write_table(pa.table({"secret": [SECRET]}), folder / "lake-2" / "secret.parquet")
    (lake / "tables" / "link.parquet").symlink_to(outside / "secret.parquet")
    (lake / "tables" / "linked").symlink_to(outside)
    (lake / "state.txt").write_text(SECRET)
    (lake / "audit").mkdir()
    (lake / "audit" / "queries.jsonl").write_text("")
    return World(folder, lake, outside, port)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = socket.create_server(("127.0.0.1", 0))
    made = _surround(tmp_path_factory.mktemp("world"), server.getsockname()[1])

    def listen() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            made.connections.append(str(address))
            connection.close()

    threading.Thread(target=listen, daemon=True).start()
    os.environ["SANDBOX_SECRET"] = SECRET
    yield made
    del os.environ["SANDBOX_SECRET"]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture(scope="session")
def secret() -> str:
    return SECRET


@pytest.fixture(scope="session")
def needs_landlock() -> None:
    if landlock.abi() == 0:
        pytest.skip(landlock.why_missing())


@pytest.fixture(scope="session")
def opened(
    world: World, tmp_path_factory: pytest.TempPathFactory, needs_landlock: None
) -> Iterator[Callable[..., Sandbox]]:
    """Sandboxes over the world's lake, by what they are opened with; shared, closed at the end."""
    held: dict[Any, Sandbox] = {}

    def get(limits: Limits = ROOMY, *, locked: bool = True) -> Sandbox:
        key = limits, locked
        if key not in held:
            log = AuditLog(tmp_path_factory.mktemp("audit") / "queries.jsonl")
            held[key] = Sandbox(world.lake, who="tests", limits=limits, audit=log, _locked=locked)
        return held[key]

    yield get
    for each in held.values():
        each.close()


@pytest.fixture
def sandbox(opened: Callable[..., Sandbox]) -> Sandbox:
    return opened()


@pytest.fixture
def lake_of(tmp_path: Path) -> Callable[[], Lake]:
    """A lake of one's own."""
    return lambda: make_lake(tmp_path / "lake")
