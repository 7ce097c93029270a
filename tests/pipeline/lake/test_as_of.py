"""As of a manifest: exactly what a reader saw when it was published, whatever happened since; or a refusal."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lake_support import decoded, engine, make_lake, make_lander, make_records

from pipeline.errors import LakeError
from pipeline.investigate import open_lake
from pipeline.lake import Lake, Snapshot
from pipeline.lake.compaction import compact
from pipeline.lake.documents import readable
from pipeline.lake.manifest import End, Manifest
from pipeline.lake.paths import manifest_key
from pipeline.lake.sweep import sweep
from pipeline.verdicts import Verdict, record
from pipeline.warehouse import connect, read_sources

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = (
    "land 0", "land 1", "roll 0", "roll 1", "compact tail", "compact touched", "alert", "indicators", "verdict", "publish",
    "sweep",
)  # fmt: skip


@dataclass
class World:
    """A lake in which things happen, and what readers saw right after each publication."""

    lake: Lake
    landers: dict[int, Any] = field(default_factory=dict)
    happened: int = 0
    seen: dict[int, Any] = field(default_factory=dict)

    def do(self, event: str) -> None:
        what, _, which = event.partition(" ")
        self.happened += 1
        number = self.lake.manifest().number
        getattr(self, f"_{what}")(which)
        if self.lake.manifest().number == number + 1:
            self.seen[number + 1] = what_is_seen(Lake.open(self.lake.root, clock=self.lake.clock).snapshot())

    def _land(self, which: str) -> None:
        partition = int(which)
        if partition not in self.landers:
            self.landers[partition] = make_lander(self.lake, partition=partition)
        lander = self.landers[partition]
        first = lander.next_offset
        rows = make_records(6, seed=self.happened, first=first, partition=partition)
        lander.accept(decoded(rows), first, first + 6)
        lander.land()

    def _roll(self, which: str) -> None:
        if (lander := self.landers.get(int(which))) is not None:
            lander.roll_up()

    def _compact(self, which: str) -> None:
        compact(self.lake, engine(), scope=which)  # type: ignore[arg-type]
        for lander in self.landers.values():
            lander.reload()

    def _alert(self, _which: str) -> None:
        about: dict[str, object] = {"alert_id": f"live-{self.happened}", "evidence": {}, "provenance": {}}
        self.lake.store.put_bytes(json.dumps(about).encode(), f"alerts/live-{self.happened}.json")

    def _indicators(self, _which: str) -> None:
        about = {"sender": "them", "tlp": "amber", "imported_at": "2026-01-01", "imported_by": "kim"}
        marks = [{"account_id": f"a{self.happened}", "kind": "network", "indicator_id": "i"}]
        self.lake.store.put_bytes(readable({**about, "marks": marks}), f"indicators/{self.happened}.json")

    def _verdict(self, _which: str) -> None:
        decided = self.lake.clock.now().replace(tzinfo=None)
        record(self.lake, [Verdict("account", f"a{self.happened}", "benign", "a test", "kim", decided)])

    def _publish(self, _which: str) -> None:
        self.lake.publish(lambda manifest: manifest, again=True)

    def _sweep(self, _which: str) -> None:
        sweep(self.lake, 0.0)


def what_is_seen(snapshot: Snapshot) -> Any:
    """Every file and every row that views are made of; the files never change."""
    return read_sources(snapshot)


def digest_of_views(snapshot: Snapshot) -> dict[str, str]:
    """A digest of every view, over its rows in an order of their own."""
    session = connect(snapshot)
    views = "select schema_name || '.' || view_name from duckdb_views() where not internal"
    found = {}
    for (name,) in session.execute(views).fetchall():
        rows = session.execute(f"select * from {name}").fetchall()
        found[name] = hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()
    assert len(found) > 10
    return found


def then(lake: Lake, number: int, seen: Any) -> bool:
    """Whether a manifest can still be seen; what is seen then is what was."""
    try:
        found = Lake.open(lake.root).as_of(number)
    except LakeError as error:
        assert f"manifest {number} can no longer be seen as it was" in str(error)  # noqa: PT017
        return False
    assert what_is_seen(found) == seen
    return True


@pytest.mark.parametrize("with_sweeps", [False, True])
def test_as_of_is_what_was_seen_after_any_events(quick_path: Path, with_sweeps: bool) -> None:
    number = 0
    told = {"seen": 0, "refused": 0}
    events = EVENTS if with_sweeps else EVENTS[:-1]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.sampled_from(events), min_size=4, max_size=14))
    def schedule(steps: list[str]) -> None:
        nonlocal number
        number += 1
        folder = quick_path / str(number)
        world = World(make_lake(folder))
        for step in steps:
            world.do(step)
        for at, seen in world.seen.items():
            told["seen" if then(world.lake, at, seen) else "refused"] += 1
        shutil.rmtree(folder)

    schedule()
    assert told["seen"] > 10
    assert with_sweeps or not told["refused"], told


def test_the_views_as_of_a_manifest_have_the_digests_of_the_time(quick_path: Path) -> None:
    world = World(make_lake(quick_path / "lake"))
    digests = {}
    for step in ("land 0", "alert", "verdict", "land 0", "roll 0", "land 1", "indicators", "compact tail", "land 0", "publish",
                 "roll 0", "alert", "land 1", "compact touched", "land 1"):  # fmt: skip
        before = world.lake.manifest().number
        world.do(step)
        now = world.lake.snapshot()
        if now.manifest.number != before:
            digests[now.manifest.number] = digest_of_views(now)
    assert len(digests) == 4
    for number, seen in digests.items():
        assert digest_of_views(Lake.open(world.lake.root).as_of(number)) == seen
    # Each of them is another past.
    assert len({tuple(sorted(seen.items())) for seen in digests.values()}) == 4
    newest = digest_of_views(world.lake.snapshot())
    assert newest["main.records"] != digests[4]["main.records"]


def test_what_landed_after_the_newest_manifest_is_not_as_of_it(quick_path: Path) -> None:
    world = World(make_lake(quick_path / "lake"))
    for step in ("land 0", "publish", "land 0", "land 1", "alert"):
        world.do(step)
    now, then_ = world.lake.snapshot(), world.lake.as_of(1)
    assert sum(now.vector.values()) == 18
    assert sum(then_.vector.values()) == 6
    assert then_.documents_in("alerts") == []
    assert now.documents_in("alerts") == ["alerts/live-5.json"]


def test_another_segment_under_a_swept_name_is_not_taken_for_the_first(quick_path: Path) -> None:
    world = World(make_lake(quick_path / "lake"))
    for step in ("land 0", "publish", "compact tail"):
        world.do(step)
    lake, (tail,) = world.lake, world.lake.as_of(1).tails.values()
    path = lake.store.path(tail.segments[0].key)
    sweep(lake, 0.0)
    path.unlink(missing_ok=True)
    # What an owner that was overtaken may leave there: as long, and others' records.
    other = World(make_lake(quick_path / "other"))
    other.happened = 7
    other.do("land 0")
    assert other.lake.snapshot().vector == {tail.chain.key: 6}
    shutil.copy(other.lake.store.path(tail.segments[0].key), path)
    with pytest.raises(
        LakeError, match="manifest 1 can no longer be seen as it was: segments or roll-ups of"
    ):
        Lake.open(lake.root).as_of(1)


def test_a_manifest_of_format_1_is_read_and_does_not_say_where_chains_ended(
    quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(make_lake(quick_path / "lake"))
    for step in ("land 0", "verdict", "alert"):
        world.do(step)
    path = world.lake.store.path(manifest_key(1))
    document = json.loads(path.read_bytes())
    assert document["format"] == 2
    del document["ends"], document["documents"]
    path.write_text(json.dumps({**document, "format": 1}))
    world.lake = Lake.open(world.lake.root)
    world.do("land 0")
    found = world.lake.as_of(1)
    assert found.manifest.ends is None
    from pipeline.cli.main import run

    ask = ["sql", "--lake", str(world.lake.root), "--who", "kim", "-c", "select count(*) as n from records"]
    assert run([*ask, "--as-of", "1"]) == 0
    assert "manifest 1 does not say where the lake's data ended" in capsys.readouterr().err
    with open_lake(world.lake.root, who="kim", manifest=1) as session:
        assert session.inexact is not None
    # Its tables are as they were, its segments and documents as they are.
    assert (found.vector, found.documents_in("alerts")) == (
        world.lake.snapshot().vector,
        ["alerts/live-3.json"],
    )
    # The next one says it again, and goes on from it.
    world.do("publish")
    assert Lake.open(world.lake.root).as_of(2).vector == found.vector
    path.write_text(json.dumps({**document, "format": 3}))
    with pytest.raises(LakeError, match="manifest format 3; this version reads 1 and 2"):
        Lake.open(world.lake.root).manifest(1)


def test_sql_and_notebooks_see_the_same_past(quick_path: Path) -> None:
    world = World(make_lake(quick_path / "lake"))
    for step in ("land 0", "publish", "land 0"):
        world.do(step)
    count = "select count(*)::int as n from records"
    for manifest, records in ((1, 6), (None, 12)):
        with open_lake(world.lake.root, who="kim", manifest=manifest) as session:
            assert session.inexact is None
            assert session.ask(count).to_pylist() == [{"n": records}]
            assert int(session.profiles().column("records").sum()) == records


def test_ends_survive_the_file() -> None:
    manifest = Manifest(number=1, ends={"t/0": End(5, 3, "d")}, documents=("alerts/a.json",))
    assert Manifest.from_bytes(manifest.to_bytes(), "here") == manifest
