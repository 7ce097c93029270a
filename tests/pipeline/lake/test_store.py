from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.lake.store import LocalStore

RACER = """
import sys
from pathlib import Path
from pipeline.lake.store import LocalStore
store, name, rounds = LocalStore(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
won = [str(n) for n in range(rounds) if store.put_bytes(name.encode(), f"race/{n:04d}")]
print(" ".join(won), flush=True)
"""


@pytest.mark.parametrize("rounds", [60, pytest.param(2000, marks=pytest.mark.slow)], ids=["gate", "full"])
def test_exactly_one_process_wins_each_name(tmp_path, rounds):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), f"racer-{i}", str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(4)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate()[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    winner = {name: i for i, names in enumerate(outputs) for name in names}
    assert sum(map(len, outputs)) == len(winner) == rounds
    for name, i in winner.items():
        assert (tmp_path / f"race/{int(name):04d}").read_bytes() == f"racer-{i}".encode()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_exactly_one_thread_wins_each_name(tmp_path):
    store = LocalStore(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        for n in range(50):
            wins = list(pool.map(lambda i, n=n: store.put_bytes(b"%d" % i, f"race/{n}"), range(4)))
            assert wins.count(True) == 1
            assert store.read_bytes(f"race/{n}") == b"%d" % wins.index(True)


def test_the_file_is_on_disk_before_its_name_and_the_folder_after(tmp_path):
    done = []

    class Watched(LocalStore):
        def _sync_file(self, path):
            done.append(("file", path.parent.name))
            super()._sync_file(path)

        def _link(self, source, target):
            super()._link(source, target)
            done.append(("link", target.name))

        def _sync_folder(self, folder):
            done.append(("folder", folder.name))
            super()._sync_folder(folder)

        def _unlink(self, path):
            done.append(("unlink", path.parent.name))
            super()._unlink(path)

    store = Watched(tmp_path / "lake")
    assert store.put_bytes(b"1", "a/b/c")
    # New folders are as good as their entry in the folder above.
    assert done == [
        ("file", "tmp"), ("folder", "lake"), ("folder", "a"), ("link", "c"), ("folder", "b"), ("unlink", "tmp")
    ]  # fmt: skip
    done.clear()
    assert not store.put_bytes(b"2", "a/b/c")
    # The winner may have died before it synced the folder; the loser builds on the name all the same.
    assert ("folder", "b") in done
    assert store.read_bytes("a/b/c") == b"1"


def test_an_interrupted_write_leaves_nothing_under_the_final_name(tmp_path):
    class Interrupted(LocalStore):
        def _sync_file(self, path):
            path.write_bytes(path.read_bytes()[:3])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted(tmp_path).put_bytes(b"whole content", "a/b")
    store = LocalStore(tmp_path)
    assert not store.exists("a/b")
    assert len(store.names("tmp")) == 1
    assert store.put_bytes(b"whole content", "a/b")


def test_reading_what_is_not_there(tmp_path):
    store = LocalStore(tmp_path)
    assert store.read_bytes("no") is None
    assert store.names("no") == []
    assert store.modified("no") is None
    assert not store.exists("no")
    store.delete("no")
    store.remove_folder("no")


def test_touch_makes_a_file_young(tmp_path):
    store = LocalStore(tmp_path)
    store.put_bytes(b"", "a")
    os.utime(store.path("a"), (1000, 1000))
    assert store.modified("a") == 1000
    store.touch("a")
    assert store.modified("a") > 1000


def test_a_folder_that_holds_something_stays(tmp_path):
    store = LocalStore(tmp_path)
    store.put_bytes(b"", "runs/x/file")
    store.remove_folder("runs/x")
    assert store.exists("runs/x/file")
    store.delete("runs/x/file")
    store.remove_folder("runs/x")
    assert not store.exists("runs/x")


@pytest.mark.parametrize("step", ["_sync_file", "_link", "_sync_folder"])
def test_a_refusing_disk_is_not_filled_with_litter(tmp_path, step):
    store = LocalStore(tmp_path)

    def refuse(*_):
        msg = "No space left on device"
        raise OSError(msg)

    store.put_bytes(b"", "a/first")
    setattr(store, step, refuse)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            store.put_bytes(b"content", "a/b")
    assert store.names("tmp") == []
