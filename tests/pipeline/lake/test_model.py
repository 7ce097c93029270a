"""Promise 2 against random schedules: two owners of one chain, compaction and sweeps between any two steps on the
disk, processes that die or whose disk refuses at any step.

After every action the reachable lake has to hold exactly the offsets below its head, each once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faulty_store import Died, FaultyStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_support import START, TOPIC_ID, decoded, engine, make_lake, make_lander, make_records, make_rejected

from pipeline.clock import ManualClock
from pipeline.errors import ChainMoved, LakeError
from pipeline.lake import Chain, Lake
from pipeline.lake.compaction import compact
from pipeline.lake.coverage import check_coverage
from pipeline.lake.reader import read_profiles, read_records
from pipeline.lake.recompute import recompute
from pipeline.lake.sweep import sweep

END = 240
# Every fifth offset is a transaction's marker, every eleventh a record that was rejected.
HOLDS = [offset for offset in range(END) if offset % 5 and offset % 11]
REJECTED = [offset for offset in range(END) if offset % 5 and not offset % 11]
RECORDS = make_records(len(HOLDS), seed=5, accounts=5, offsets=np.array(HOLDS))
WANTED = engine().profiles(RECORDS)
OFFSETS = RECORDS.column("offset").to_numpy()


def fetch(low, high):
    mask = pa.array((low <= OFFSETS) & (high > OFFSETS))
    return decoded(RECORDS.filter(mask), make_rejected([o for o in REJECTED if low <= o < high]))


def age_runs(folder):
    """Every file of a run looks as if it had been there for ever."""
    for path in [*folder.glob("runs/*/*/*"), *folder.glob("tables/*/*")]:
        with suppress(FileNotFoundError):
            os.utime(path, (0, 0))


@dataclass
class Process:
    """One owner: its own lake object with its own caches, and a lander that may be long overtaken."""

    folder: Path
    clock: ManualClock
    store: FaultyStore = field(init=False)

    def __post_init__(self):
        self.start()

    def start(self):
        self.store = FaultyStore(self.folder)
        self.lake = Lake.open(self.folder, store=self.store, clock=self.clock)
        self.lander = make_lander(self.lake, clock=self.clock)

    def accept(self, count):
        low = self.lander.next_offset
        high = min(END, low + count)
        self.lander.accept(fetch(low, high), low, high)

    def act(self, action):
        match action:
            case ("accept", count):
                self.accept(count)
            case ("land",):
                self.lander.land()
            case ("take", count):
                self.accept(count)
                self.lander.land()
            case ("roll_up",):
                self.lander.roll_up()
            case ("compact", scope, limit):
                compact(self.lake, engine(), scope=scope, vector={f"{TOPIC_ID}/0": limit})
            case ("sweep",):
                # Time stands still: what the manifest lets go goes at once, what is being written stays.
                sweep(self.lake, 0, self.clock)
            case ("sweep_runs",):
                # As if half a day had gone by since a compaction stopped, or stalled in its last steps.
                age_runs(self.folder)
                sweep(self.lake, 0, self.clock)

    def run(self, action):
        """Do it as a worker would: an overtaken owner goes on from the new head, a dead one starts again."""
        try:
            self.act(action)
        except (ChainMoved, LakeError):
            self.store.disarm()
        except OSError as error:
            assert "disk says no" in str(error)  # noqa: PT017 -- the lander is used again afterwards
        except Died:
            self.start()
        finally:
            self.store.disarm()


ACTION = st.one_of(
    st.tuples(st.just("accept"), st.integers(1, 60)),
    st.tuples(st.just("take"), st.integers(1, 60)),
    st.tuples(st.just("take"), st.integers(1, 60)),
    st.tuples(st.just("land")),
    st.tuples(st.just("roll_up")),
    st.tuples(st.just("compact"), st.sampled_from(["tail", "touched"]), st.just(END) | st.integers(0, END)),
    st.tuples(st.sampled_from(["sweep", "sweep_runs"])),
)
FAULT = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(["die", "refuse"]), st.integers(1, 60)),
    st.tuples(st.just("overtake"), st.integers(1, 60), st.lists(ACTION, min_size=1, max_size=4)),
)
STEP = st.tuples(st.integers(0, 1), ACTION, FAULT)


def refuse():
    msg = "disk says no"
    raise OSError(msg)


def check_prefix(folder, clock):
    """What a new reader sees: exactly the offsets below the head."""
    lake = Lake.open(folder, clock=clock)
    snapshot = lake.snapshot()
    head = snapshot.vector[f"{TOPIC_ID}/0"]
    offsets = sorted(read_records(snapshot, columns=["offset"]).column("offset").to_pylist())
    assert offsets == [o for o in HOLDS if o < head]
    return head


def run_schedule(folder, steps):
    clock = ManualClock(START)
    make_lake(folder, clock=clock)
    processes = [Process(folder, clock) for _ in range(2)]
    head = 0
    for who, action, fault in steps:
        process, other = processes[who], processes[1 - who]
        match fault:
            case ("die", step):
                process.store.arm(step, process.store.die)
            case ("refuse", step):
                process.store.arm(step, refuse)
            case ("overtake", step, actions):
                process.store.arm(step, lambda other=other, actions=actions: [other.run(a) for a in actions])
        process.run(action)
        now = check_prefix(folder, clock)
        assert now >= head, "the head went back"
        head = now
    return clock, processes


def finish(folder, clock):
    """A last owner lands the rest; then everything is held against the straight run."""
    last = Process(folder, clock)
    last.accept(END)
    last.lander.close()
    snapshot = last.lake.snapshot()
    assert snapshot.vector == snapshot.rollup_vector == {f"{TOPIC_ID}/0": END}
    coverage = check_coverage(snapshot)
    assert coverage.findings == ()
    (chain,) = coverage.chains
    assert (chain.records, chain.rejected, chain.forgotten, chain.lost) == (len(HOLDS), len(REJECTED), 0, 0)
    assert read_profiles(snapshot, engine()).digest() == WANTED.digest()
    assert recompute(snapshot, engine()).differences == ()


def model(root, steps):
    folder = Path(tempfile.mkdtemp(dir=root))
    clock, _ = run_schedule(folder, steps)
    finish(folder, clock)
    shutil.rmtree(folder)


# Each example makes a folder of its own in the shared one.
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@settings(max_examples=25, deadline=None, suppress_health_check=QUIET)
@given(steps=st.lists(STEP, min_size=5, max_size=14))
def test_every_offset_once_under_any_schedule(quick_path, steps):
    model(quick_path, steps)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=1000, deadline=None, suppress_health_check=QUIET)
@given(steps=st.lists(STEP, min_size=5, max_size=40))
def test_every_offset_once_under_any_schedule_long(quick_path, steps):
    model(quick_path, steps)


@pytest.mark.parametrize("fault", ["die", "refuse"])
@pytest.mark.parametrize(
    ("action", "stride"),
    [
        ("land", 1),
        ("roll_up", 3),
        ("compact", 11),
        pytest.param("roll_up", 1, marks=pytest.mark.slow),
        pytest.param("compact", 1, marks=pytest.mark.slow),
    ],
)
def test_every_single_step_can_break(quick_path, action, stride, fault):
    """Not at random: one run per (third, eleventh) step on the disk of one action."""
    broken = 0
    for step in range(1, 400, stride):
        folder = quick_path / str(step)
        clock = ManualClock(START)
        make_lake(folder, clock=clock)
        process = Process(folder, clock)
        process.accept(100)
        process.act(("land",))
        process.accept(50)
        if action == "compact":
            process.act(("land",))
        process.store.arm(step, process.store.die if fault == "die" else refuse)
        act = {"land": ("land",), "roll_up": ("roll_up",), "compact": ("compact", "tail", END)}[action]
        with suppress(Died, OSError):
            process.act(act)
        if process.store.plan:
            break  # the action has fewer steps
        process.store.disarm()
        broken += 1
        check_prefix(folder, clock)
        if not process.store.dead:
            with suppress(ChainMoved):
                process.act(act)
        if action == "compact":
            compact(Lake.open(folder, clock=clock), engine())
        finish(folder, clock)
        shutil.rmtree(folder)
    assert 6 < broken < 390 // stride


def test_a_zombie_puts_under_a_freed_name_in_the_middle_of_a_reader(quick_path):
    """The schedule that breaks readers which trust what exists."""
    clock = ManualClock(START)
    tmp_path = quick_path / "lake"
    make_lake(tmp_path, clock=clock)
    owner, zombie = Process(tmp_path, clock), Process(tmp_path, clock)
    zombie.accept(30)
    for count in (60, 60, 60):
        owner.accept(count)
        owner.act(("land",))
    for step in range(1, 200):
        # At each step of a reader: compaction and sweep, then the zombie is killed between its put and its
        # second look, so that its file stays.
        reader = FaultyStore(tmp_path)
        lake = Lake.open(tmp_path, store=reader, clock=clock)
        copy = quick_path / "copy"

        def interfere():
            owner.run(("compact", "tail", 120))
            owner.run(("sweep",))
            with suppress(Died, ChainMoved):
                zombie.store.arm(10**6, zombie.store.die)
                link = zombie.store._link

                def link_and_die(source, target):
                    link(source, target)
                    zombie.store.die()

                zombie.store._link = link_and_die
                zombie.lander.land()

        shutil.copytree(tmp_path, copy)
        reader.arm(step, interfere)
        try:
            records = read_records(lake.snapshot(), columns=["offset"])
        except LakeError as error:
            # Swept after the snapshot was complete: without a grace period that is said, and a new one is right.
            assert "take a new snapshot" in str(error)  # noqa: PT017
            records = read_records(lake.snapshot(), columns=["offset"])
        assert sorted(records.column("offset").to_pylist()) == [o for o in HOLDS if o < 180]
        if reader.plan:
            shutil.rmtree(copy)
            break
        assert Lake.open(tmp_path, clock=clock).store.exists(Chain(TOPIC_ID, 0).segment(0))
        shutil.rmtree(tmp_path)
        copy.rename(tmp_path)
        owner.start()
        zombie.start()
        zombie.lander._head = zombie.lander._next = 0
        zombie.accept(30)
    assert step > 5
