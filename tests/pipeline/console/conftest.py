"""One small simulated lake with a planted hydra, scored as any lake is; and consoles over copies of it."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("starlette", reason="needs the extra `investigate`")
pytest.importorskip("httpx", reason="needs httpx, of the tests' dependencies")

with warnings.catch_warnings():
    # Starlette would rather have the successor of httpx; both do.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from pipeline.clock import ManualClock
from pipeline.console import Console, ConsoleSettings, create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = datetime(2026, 1, 20, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """The lake, and who in it belongs to the hydra."""

    lake: Path
    hydra: frozenset[str]
    cluster: str
    alerted: str


@pytest.fixture(scope="session")
def planted(scored_lake: Any) -> Planted:
    """Tests work on copies."""
    world, scoring = scored_lake.world, scored_lake.scoring
    hydra = frozenset(label.account_id for label in world.labels if label.kind == "hydra")
    cluster = next(each for each in scoring.alerts if each.subject_kind == "cluster")
    alone = next(each for each in scoring.alerts if each.subject_kind == "account")
    assert set(cluster.members) == hydra
    return Planted(scored_lake.root, hydra, cluster.subject_id, alone.subject_id)


@pytest.fixture
def lake(planted: Planted, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return shutil.copytree(planted.lake, tmp_path / "lake")


@dataclass
class Visitor:
    """Somebody with a browser, as far as HTTP goes."""

    client: TestClient
    name: str
    csrf: str = ""

    def get(self, path: str, **parameters: object) -> Any:
        return self.client.get(path, params=parameters or None)

    def post(self, path: str, **fields: object) -> Any:
        return self.client.post(path, data={"csrf": self.csrf, **fields})


def csrf_of(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None
    return found[1]


@dataclass
class Running:
    """A console that answers."""

    console: Console
    app: Any
    clock: ManualClock

    def client(self, address: str = "127.0.0.1", **more: Any) -> TestClient:
        return TestClient(
            self.app,
            base_url="http://127.0.0.1:8080",
            client=(address, 50000),
            follow_redirects=False,
            raise_server_exceptions=False,
            **more,
        )

    def visitor(self, name: str, role: str) -> Visitor:
        """A user with an open session."""
        known = {each["name"] for each in self.console.users.every()}
        token = self.console.users.token(name) if name in known else self.console.users.add(name, role)
        assert token is not None
        client = self.client()
        form = client.get("/login")
        entered = client.post("/login", data={"csrf": csrf_of(form.text), "token": token, "next": ""})
        assert entered.status_code == 303, entered.text
        session = self.console.users.session(client.cookies["distillwatch_session"])
        assert session is not None
        return Visitor(client, name, session.csrf)


def running(lake: Path, **settings: Any) -> Running:
    clock = ManualClock(NOW)
    app = create_app(ConsoleSettings(lake=lake, children=1, **settings), clock)
    return Running(app.console, app, clock)


@pytest.fixture
def start(lake: Path) -> Iterator[Callable[..., Running]]:
    """Start a console over a copy of the lake, with settings of one's own."""
    started: list[Running] = []

    def begin(**settings: Any) -> Running:
        started.append(running(settings.pop("lake", lake), **settings))
        return started[-1]

    yield begin
    for each in started:
        each.console.close()


@pytest.fixture(scope="session")
def shared(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A console for tests that only read, or that write about subjects of their own."""
    lake = shutil.copytree(planted.lake, tmp_path_factory.mktemp("shared") / "lake")
    console = running(lake)
    yield console
    console.console.close()


@pytest.fixture(scope="session")
def viewer(shared: Running) -> Visitor:
    return shared.visitor("vera", "viewer")


@pytest.fixture(scope="session")
def investigator(shared: Running) -> Visitor:
    return shared.visitor("ana", "investigator")


@pytest.fixture(scope="session")
def approver(shared: Running) -> Visitor:
    return shared.visitor("ben", "approver")
