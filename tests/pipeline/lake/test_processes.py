"""Real processes: killed at any step on the disk, and reading while others compact and sweep."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from lake_support import TOPIC_ID, engine, make_lake, make_lander, make_records

from pipeline.clock import SystemClock
from pipeline.errors import LakeError
from pipeline.lake import Lake
from pipeline.lake.coverage import check_coverage
from pipeline.lake.reader import read_profiles, read_records
from pipeline.lake.recompute import recompute

HERE = Path(__file__).parent
COUNT = 600


def start(script, *arguments):
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [4, pytest.param(80, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_kill_9_at_any_step_loses_and_doubles_nothing(quick_path, kills):
    random = Random(kills)
    lake = make_lake(quick_path / "lake", clock=SystemClock())
    killed = 0
    while True:
        # Two owners at once, as while a rebalance is under way; the first dies after so many steps.
        seed = random.randrange(10**6)
        first = start("lander_process.py", lake.root, COUNT, seed)
        second = start("lander_process.py", lake.root, COUNT, seed + 1) if killed % 3 == 0 else None
        after = random.randrange(1, 150) if killed < kills else 10**9
        finished = False
        for line in first.stdout:
            after -= 1
            finished = line == "done\n"
            if after == 0:
                break
        if not finished:
            first.send_signal(signal.SIGKILL)
            killed += 1
        if second is not None:
            second.send_signal(signal.SIGKILL)
            second.communicate()
        first.communicate()
        snapshot = Lake.open(lake.root).snapshot()
        head = snapshot.vector.get(f"{TOPIC_ID}/0", 0)
        offsets = read_records(snapshot, columns=["offset"]).column("offset").to_pylist()
        assert sorted(offsets) == list(range(head))
        if finished:
            break
    make_lander(lake).close()
    snapshot = lake.snapshot()
    assert check_coverage(snapshot).findings == ()
    assert recompute(snapshot, engine()).differences == ()
    assert snapshot.vector == {f"{TOPIC_ID}/0": COUNT}
    assert (
        read_profiles(snapshot, engine()).digest() == engine().profiles(make_records(COUNT, seed=9)).digest()
    )


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_snapshots_are_whole_while_others_land_compact_and_sweep(quick_path, seconds):
    lake = make_lake(quick_path / "lake", clock=SystemClock())
    others = [start("churn_process.py", task, lake.root) for task in ("land", "compact")]
    for process in others:
        assert process.stdout.readline() == "ready\n"
    for process in others:
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = time.monotonic() + seconds  # a race needs time, not an event
    whole = swept = head = 0
    manifests = set()
    while time.monotonic() < ends:
        reader = lake if whole % 2 else Lake.open(lake.root)  # with a cached chain, and from nothing
        snapshot = reader.snapshot()
        now = snapshot.vector.get(f"{TOPIC_ID}/0", 0)
        assert now >= head, "the head went back"
        head = now
        try:
            offsets = read_records(snapshot, columns=["offset"]).column("offset").to_pylist()
        except LakeError as error:
            # The grace period is a third of a second here; being late is said, never counted wrong.
            assert "take a new snapshot" in str(error)  # noqa: PT017
            swept += 1
            continue
        assert sorted(offsets) == list(range(head))
        whole += 1
        manifests.add(snapshot.manifest.number)
    (lake.root / "stop").touch()
    rounds = [int(process.communicate()[0]) for process in others]
    assert [process.returncode for process in others] == [0, 0]
    print(f"{whole} whole snapshots over {len(manifests)} manifests, {swept} too late; rounds {rounds}")
    assert whole > 5
    assert len(manifests) > 2
    assert check_coverage(lake.snapshot()).findings == ()
