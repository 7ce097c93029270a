"""A run or table that is published while a sweep takes it for litter: each step of the one, in the middle of the other."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import pyarrow as pa
import pytest
from faulty_store import Died, FaultyStore
from lake_support import START, engine, make_lake, make_lander, make_records, part

from pipeline.clock import ManualClock
from pipeline.errors import ChainMoved, LakeError
from pipeline.lake import Lake
from pipeline.lake import compaction as compaction_module
from pipeline.lake.compaction import compact
from pipeline.lake.coverage import check_coverage
from pipeline.lake.graveyard import graves
from pipeline.lake.reader import read_profiles
from pipeline.lake.sweep import sweep

RECORDS = make_records(60, accounts=4)
WANTED = engine().profiles(RECORDS).digest()
TABLE = pa.table({"a": [1, 2, 3]})
CLOCK = ManualClock(START)


def age(folder):
    for path in [*folder.glob("runs/*/*/*"), *folder.glob("tables/*/*")]:
        with suppress(FileNotFoundError):
            os.utime(path, (0, 0))


@pytest.fixture
def abandoned(quick_path, monkeypatch):
    """A lake with a run that was written in full and never published, and a table that no manifest names; long ago."""
    folder = quick_path / "abandoned"
    lake = make_lake(folder, clock=CLOCK)
    lander = make_lander(lake)
    lander.accept(part(RECORDS, 0, 60), 0, 60)
    lander.close()

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compaction_module, "_publish", die)
        with pytest.raises(KeyboardInterrupt):
            compact(lake, engine())
    lake.put_table("alerts", TABLE)
    age(folder)
    return folder


def at_every_step(abandoned, quick_path):
    """A fresh copy for each step; the test says with `plan` when it is past the last."""
    for step in range(1, 400):
        folder = quick_path / "lake"
        shutil.copytree(abandoned, folder)
        store = FaultyStore(folder)
        yield step, folder, Lake.open(folder, store=store, clock=CLOCK), store
        shutil.rmtree(folder)
        if store.plan:
            assert step > 10
            return
    pytest.fail("it does not end")


def publish_table(lake):
    file = lake.put_table("alerts", TABLE)
    return lake.publish(lambda m: m.with_tables("alerts", [file]))


def whole(folder):
    """Whatever the manifest names is there, and all records are counted."""
    lake = Lake.open(folder, clock=CLOCK)
    missing = [key for key in lake.manifest().keys() if not lake.store.exists(key)]  # noqa: SIM118
    assert missing == []
    assert read_profiles(lake.snapshot(), engine()).digest() == WANTED
    assert check_coverage(lake.snapshot()).findings == ()
    return lake


def test_a_run_is_resumed_at_any_step_of_a_sweep(abandoned, quick_path):
    resumed = set()
    for step, folder, lake, store in at_every_step(abandoned, quick_path):
        other = Lake.open(folder, clock=CLOCK)

        def interfere(other=other):
            resumed.add(bool(compact(other, engine()).resumed))
            publish_table(other)

        store.arm(step, interfere)
        sweep(lake, 0, CLOCK)
        if not store.plan:
            assert other.manifest().tables["alerts"]
            whole(folder)
            assert graves(other.store) == []
    assert resumed == {True, False}


@pytest.mark.parametrize("publish", [lambda lake: compact(lake, engine()), publish_table])
def test_a_sweep_runs_at_any_step_of_a_publication(abandoned, quick_path, publish):
    """Also at those where the publisher has just made its files young: it may have stalled for days there."""
    published, refused = 0, 0
    for step, folder, lake, store in at_every_step(abandoned, quick_path):

        def interfere(folder=folder):
            age(folder)
            sweep(Lake.open(folder, clock=CLOCK), 0, CLOCK)

        store.arm(step, interfere)
        try:
            publish(lake)
            published += 1
        except (ChainMoved, LakeError):
            refused += 1
        fresh = whole(folder)
        publish(fresh)
        whole(folder)
        assert graves(fresh.store) == []
    # How many of each is how many steps lie between a file's youth and its manifest: the walk to every chain's end is there.
    assert published > 5
    assert refused > 0


def test_a_sweep_dies_at_any_step_and_its_graves_are_filled_or_emptied(abandoned, quick_path):
    left = 0
    for step, folder, lake, store in at_every_step(abandoned, quick_path):
        store.arm(step, store.die)
        with suppress(Died):
            sweep(lake, 0, CLOCK)
        left += bool(graves(Lake.open(folder, clock=CLOCK).store))
        other = Lake.open(folder, clock=CLOCK)
        compact(other, engine())
        publish_table(other)
        whole(folder)
        sweep(other, 0, CLOCK)
        assert graves(other.store) == []
        whole(folder)
    assert left > 5


def test_a_file_that_was_set_aside_while_it_was_published_comes_back_with_the_next_sweep(abandoned):
    """The sweep renamed it after the publisher's last look, and died before its own."""
    from pipeline.lake.graveyard import bury

    lake = Lake.open(abandoned, clock=CLOCK)
    compact(lake, engine())
    keys = sorted(lake.manifest().keys())
    assert [bury(lake.store, key) for key in keys] == [True] * len(keys)
    assert not any(lake.store.exists(key) for key in keys)
    sweep(lake, 0, CLOCK)
    whole(abandoned)


def test_equal_rows_are_written_anew_if_a_sweep_takes_the_old_ones(abandoned, monkeypatch):
    lake = Lake.open(abandoned, clock=CLOCK)
    touch = lake.store.touch

    def too_late(key):
        sweep(Lake.open(abandoned, clock=CLOCK), 0, CLOCK)
        touch(key)

    monkeypatch.setattr(lake.store, "touch", too_late)
    file = lake.put_table("alerts", TABLE)
    assert lake.store.exists(file.path)
