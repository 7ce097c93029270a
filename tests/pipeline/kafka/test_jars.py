import hashlib
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.config import Environment
from pipeline.errors import DistillwatchError
from pipeline.kafka import jars, resolvers
from pipeline.kafka.jars import Jar, JarMismatch, JarsUnavailable, Lock, ensure_jars

CONTENTS = {"alpha": b"alpha's classes", "beta": b"beta's classes"}


@pytest.fixture
def lock():
    made = tuple(
        Jar("org.example", name, "1.0", hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items()
    )
    return Lock("9.9.9", ("org.example:alpha:1.0",), made)


@pytest.fixture
def environment(tmp_path):
    return Environment(cache=tmp_path / "cache", kafka_jars=None, java_home=None, path="")


def write(lock, folder, contents=CONTENTS):
    for jar in lock.jars:
        (folder / jar.file_name).write_bytes(contents[jar.artifact])


def test_the_committed_lock_pins_one_kafka_and_names_no_host():
    committed = Lock.committed()
    text = committed.render()
    assert Lock.parse(text) == committed
    assert "://" not in text
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in committed.jars)
    assert len({jar.file_name for jar in committed.jars}) == len(committed.jars) > 40
    assert {jar.version for jar in committed.jars if jar.group == "org.apache.kafka"} == {committed.kafka}
    # Kafka logs nothing without a binding.
    assert "log4j-slf4j-impl" in {jar.artifact for jar in committed.jars}


@pytest.mark.parametrize(
    "text", ["kafka = ", "kafka = '4'", "kafka='4'\nroots=[]\n[[jar]]\ncoordinates='a:b'\nsha256='0'"]
)
def test_a_damaged_lock_is_named(text):
    with pytest.raises(DistillwatchError, match=r"some\.lock is not a lock"):
        Lock.parse(text, "some.lock")


def test_jars_are_fetched_once_and_then_found_without_a_resolver(lock, environment, monkeypatch):
    calls = []

    def fetch(lock, folder, environment, report):
        calls.append(folder)
        write(lock, folder)

    monkeypatch.setattr(resolvers, "fetch", fetch)
    first = ensure_jars(environment=environment, lock=lock)
    monkeypatch.setattr(resolvers, "fetch", None)
    assert ensure_jars(environment=environment, lock=lock) == first
    assert [path.read_bytes() for path in first] == list(CONTENTS.values())
    assert len(calls) == 1


def test_a_wrong_jar_from_the_network_never_reaches_the_cache(lock, environment, monkeypatch):
    forged = {**CONTENTS, "beta": b"something else"}
    monkeypatch.setattr(resolvers, "fetch", lambda lock, folder, *_: write(lock, folder, forged))
    with pytest.raises(JarMismatch) as caught:
        ensure_jars(environment=environment, lock=lock)
    assert "beta-1.0.jar" in caught.value.message
    assert hashlib.sha256(CONTENTS["beta"]).hexdigest() in caught.value.message
    assert hashlib.sha256(forged["beta"]).hexdigest() in caught.value.message
    assert list((environment.cache / "kafka").iterdir()) == []


def test_a_jar_changed_in_the_cache_is_noticed_at_the_next_start(lock, environment, monkeypatch):
    monkeypatch.setattr(resolvers, "fetch", lambda lock, folder, *_: write(lock, folder))
    path = ensure_jars(environment=environment, lock=lock)[1]
    path.write_bytes(b"tampered")
    with pytest.raises(JarMismatch, match=re.escape(str(path))) as caught:
        ensure_jars(environment=environment, lock=lock)
    assert f"delete the folder {path.parent}" in caught.value.message


def test_processes_that_fetch_at_the_same_time_all_get_the_jars(lock, environment, monkeypatch):
    both = threading.Barrier(4, timeout=20)

    def fetch(lock, folder, environment, report):
        both.wait()  # everybody is past the look into the cache before anybody publishes
        write(lock, folder)

    monkeypatch.setattr(resolvers, "fetch", fetch)
    with ThreadPoolExecutor(4) as pool:
        found = [
            each.result()
            for each in [pool.submit(ensure_jars, environment=environment, lock=lock) for _ in range(4)]
        ]
    assert found[1:] == found[:-1]
    assert [entry.name for entry in (environment.cache / "kafka").iterdir()] == [lock.name]


def test_litter_of_a_crashed_fetch_is_swept_but_not_that_of_a_running_one(lock, environment, monkeypatch):
    home = environment.cache / "kafka"
    old, young = home / ".9.9.9.old", home / ".9.9.9.young"
    for each in (old, young):
        each.mkdir(parents=True)
    past = time.time() - 2 * jars.LITTER_AGE_SECONDS
    os.utime(old, (past, past))
    monkeypatch.setattr(resolvers, "fetch", lambda lock, folder, *_: write(lock, folder))
    ensure_jars(environment=environment, lock=lock)
    assert not old.exists()
    assert young.exists()


def test_a_folder_of_ones_own_is_used_and_checked(lock, tmp_path, monkeypatch):
    monkeypatch.setattr(resolvers, "fetch", None)
    own = tmp_path / "own"
    own.mkdir()
    environment = Environment(cache=tmp_path / "cache", kafka_jars=own, java_home=None, path="")
    with pytest.raises(JarsUnavailable, match="DISTILLWATCH_KAFKA_JARS"):
        ensure_jars(environment=environment, lock=lock)
    write(lock, own)
    assert [path.parent for path in ensure_jars(environment=environment, lock=lock)] == [own, own]
    assert not environment.cache.exists()


def test_without_maven_and_jgo_the_message_says_what_was_tried_and_the_ways_out(
    lock, environment, monkeypatch
):
    monkeypatch.setitem(sys.modules, "jgo", None)
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(JarsUnavailable) as caught:
        ensure_jars(environment=environment, lock=lock)
    for words in (
        "`mvn` is not on PATH",
        "jgo: the package is not installed",
        "install Maven",
        "DISTILLWATCH_KAFKA_JARS",
        "9.9.9",
    ):
        assert words in caught.value.message
    assert list((environment.cache / "kafka").iterdir()) == []


def test_a_maven_that_fails_gives_its_reason_and_jgo_a_try(lock, tmp_path, monkeypatch):
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no route to the mirror'\nexit 1\n")
    maven.chmod(0o755)
    environment = Environment(cache=tmp_path / "cache", kafka_jars=None, java_home=None, path=str(tmp_path))

    def by_jgo(lock, folder, environment, report):
        msg = "jgo: no network either"
        raise resolvers.ResolverFailed(msg)

    monkeypatch.setattr(resolvers, "_fetch_with_jgo", by_jgo)
    with pytest.raises(JarsUnavailable) as caught:
        ensure_jars(environment=environment, lock=lock)
    assert "no route to the mirror" in caught.value.message
    assert "no network either" in caught.value.message


def test_a_cache_that_cannot_be_made_is_named(lock, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    environment = Environment(cache=blocked, kafka_jars=None, java_home=None, path="")
    with pytest.raises(JarsUnavailable, match="DISTILLWATCH_CACHE"):
        ensure_jars(environment=environment, lock=lock)
