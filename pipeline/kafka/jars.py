"""Kafka's jars: pinned in `jars.lock`, fetched once into the user's cache, checked each time.

The lock names coordinates and SHA-256 sums and no place to get them from: that is the business of the
resolver (Maven with the user's settings, else jgo), so mirrors and proxies keep working.

Run ``python -m pipeline.kafka.jars`` to fetch, ``--lock`` to resolve the roots anew and rewrite the lock.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import sys
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.clock import SystemClock
from pipeline.config import Environment
from pipeline.errors import DistillwatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.clock import Clock

LOCK_FILE = "jars.lock"
LITTER_AGE_SECONDS = 24 * 3600


class JarsUnavailable(DistillwatchError):
    """Kafka's jars are neither cached nor to be had; the message says what was tried and the way out."""


class JarMismatch(DistillwatchError):
    """A jar is not the one that the lock names."""


class Report(Protocol):
    """Told about each step of a long fetch: how many of how many are there, and the newest."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Take note; must not raise."""
        ...


def silent(done: int, total: int, what: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    """One jar by its Maven coordinates and the SHA-256 of its bytes (64 hex digits)."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """``group:artifact:version``."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """The name every Maven tool gives the file."""
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True, slots=True)
class Lock:
    """The jars of one Kafka version.

    Attributes
    ----------
    kafka
        Kafka's version.
    roots
        What was asked for; everything else follows from these.
    jars
        All jars, in order of coordinates.
    """

    kafka: str
    roots: tuple[str, ...]
    jars: tuple[Jar, ...]

    @property
    def name(self) -> str:
        """Name of the cache folder: changes with every byte that the lock pins."""
        digest = hashlib.blake2b(digest_size=6)
        for jar in self.jars:
            digest.update(f"{jar.coordinates} {jar.sha256}\n".encode())
        return f"{self.kafka}-{digest.hexdigest()}"

    @classmethod
    def parse(cls, text: str, source: str = LOCK_FILE) -> Lock:
        """Read a lock's text.

        Raises
        ------
        DistillwatchError
            When the text is no lock; the message names `source` and the entry.
        """
        try:
            table = tomllib.loads(text)
            jars = tuple(
                Jar(*_three(entry["coordinates"]), sha256=str(entry["sha256"])) for entry in table["jar"]
            )
            lock = cls(str(table["kafka"]), tuple(table["roots"]), jars)
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
            msg = f"{source} is not a lock of jars: {error}; write it anew with `python -m pipeline.kafka.jars --lock`"
            raise DistillwatchError(msg) from error
        return lock

    @classmethod
    def committed(cls) -> Lock:
        """The lock that ships with this package."""
        return cls.parse(resources.files("pipeline.kafka").joinpath(LOCK_FILE).read_text(encoding="utf-8"))

    def render(self) -> str:
        """The text `parse` reads."""
        lines = [
            "# Kafka's jars and all they need. Rewritten by: python -m pipeline.kafka.jars --lock",
            "# The binding log4j-slf4j-impl is a root because Kafka logs nothing without it.",
            f'kafka = "{self.kafka}"',
            "roots = [" + ", ".join(f'"{root}"' for root in self.roots) + "]",
        ]
        for jar in sorted(self.jars):
            lines += ["", "[[jar]]", f'coordinates = "{jar.coordinates}"', f'sha256 = "{jar.sha256}"']
        return "\n".join(lines) + "\n"


def ensure_jars(
    *,
    environment: Environment | None = None,
    lock: Lock | None = None,
    report: Report = silent,
    refresh: bool = False,
) -> list[Path]:
    """All jars of the lock as paths, in the lock's order, each checked; fetched first if need be.

    A folder named by `DISTILLWATCH_KAFKA_JARS` is used as it is and never written to. Otherwise the cache
    is filled once: into a temporary folder that is renamed when it is complete and checked, so processes
    that start together may all fetch, and the first one to finish wins.

    Raises
    ------
    JarMismatch
        When a jar is not the one that the lock names.
    JarsUnavailable
        When nothing on this machine can fetch them.
    """
    environment = environment or Environment.read()
    lock = lock or Lock.committed()
    if environment.kafka_jars is not None:
        return check(
            lock, environment.kafka_jars, "unset DISTILLWATCH_KAFKA_JARS or put the right file there"
        )
    home = environment.cache / "kafka"
    final = home / lock.name
    if refresh or not final.is_dir():
        _populate(lock, home, final, environment, report)
    return check(lock, final, f"delete the folder {final} to have it fetched again")


def check(lock: Lock, folder: Path, way_out: str) -> list[Path]:
    """The lock's jars in a folder, each compared with its SHA-256.

    Raises
    ------
    JarMismatch
        Naming the file, what was expected and what was found.
    JarsUnavailable
        When a jar is missing.
    """
    paths = []
    for jar in lock.jars:
        path = folder / jar.file_name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            msg = f"{path} is missing ({jar.coordinates}, Kafka {lock.kafka}); {way_out}"
            raise JarsUnavailable(msg) from error
        if found != jar.sha256:
            msg = (
                f"{path} is not the jar that is pinned: expected SHA-256 {jar.sha256}, got {found}; {way_out}"
            )
            raise JarMismatch(msg)
        paths.append(path)
    return paths


def _three(coordinates: str) -> tuple[str, str, str]:
    group, artifact, version = coordinates.split(":")
    return group, artifact, version


def _populate(lock: Lock, home: Path, final: Path, environment: Environment, report: Report) -> None:
    # Imported here: a filled cache needs neither Maven nor jgo.
    from pipeline.kafka.resolvers import fetch

    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"the cache folder {home} cannot be made ({error.strerror}); set DISTILLWATCH_CACHE to a folder that may be written"
        raise JarsUnavailable(msg) from error
    _sweep(home, SystemClock())
    staging = home / f".{lock.name}.{secrets.token_hex(8)}"
    staging.mkdir()
    try:
        fetch(lock, staging, environment, report)
        check(
            lock,
            staging,
            "fetch it from a trusted mirror, or renew the lock if Kafka's version was changed on purpose",
        )
        try:
            staging.rename(final)
        except OSError:
            # Another process was first; what it put there is checked by the caller like our own.
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _sweep(home: Path, clock: Clock) -> None:
    """Remove what crashed fetches left; young folders may belong to a fetch that still runs."""
    limit = clock.now().timestamp() - LITTER_AGE_SECONDS
    for left in home.glob(".*"):
        if left.is_dir() and left.stat().st_mtime < limit:
            shutil.rmtree(left, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the jars, or renew the lock (`--lock [--kafka VERSION]`)."""
    import argparse

    from pipeline.cli.progress import reporter

    parser = argparse.ArgumentParser(prog="python -m pipeline.kafka.jars", description=main.__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve the roots anew and rewrite the lock")
    parser.add_argument("--kafka", metavar="VERSION", help="with --lock: another version of Kafka")
    parser.add_argument("--quiet", action="store_true", help="say nothing if all is there")
    options = parser.parse_args(arguments)
    environment = Environment.read()
    if options.lock:
        from pipeline.kafka.resolvers import resolve

        old = Lock.committed()
        roots = old.roots
        if options.kafka:
            roots = tuple(root.replace(f":{old.kafka}", f":{options.kafka}") for root in roots)
        renewed = resolve(options.kafka or old.kafka, roots, environment)
        target = Path(__file__).with_name(LOCK_FILE)
        target.write_text(renewed.render(), encoding="utf-8")
        sys.stdout.write(f"{target}: {len(renewed.jars)} jars of Kafka {renewed.kafka}\n")
        return 0
    with reporter("Fetching Kafka") as report:
        paths = ensure_jars(environment=environment, report=report)
    if not options.quiet:
        sys.stdout.write(f"{len(paths)} jars of Kafka {Lock.committed().kafka} in {paths[0].parent}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DistillwatchError as error:
        sys.exit(f"error: {error}")
