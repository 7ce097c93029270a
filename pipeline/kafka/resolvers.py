"""The two ways to bring Kafka's jars here: Maven if it is on PATH, else jgo's resolver in pure Python.

With a lock nothing is left to resolve: each jar is asked for by its own coordinates. Only `resolve`,
which renews the lock, follows dependencies.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from pipeline.config import trust_for_requests
from pipeline.kafka.jars import Jar, JarsUnavailable, Lock, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.config import Environment

MAVEN_TIMEOUT_SECONDS = 900
DOWNLOAD_TIMEOUT_SECONDS = 30
ATTEMPTS = 3
PARALLEL_DOWNLOADS = 4
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


class ResolverFailed(Exception):
    """One way did not work; the message is one reason among those the user will read."""


def fetch(lock: Lock, folder: Path, environment: Environment, report: Report) -> None:
    """Put every jar of the lock into `folder`. Their sums are checked by the caller.

    Raises
    ------
    JarsUnavailable
        When neither Maven nor jgo could, with both reasons and the way out.
    """
    reasons = []
    for way in (_fetch_with_maven, _fetch_with_jgo):
        try:
            way(lock, folder, environment, report)
        except ResolverFailed as error:
            reasons.append(str(error))
        else:
            return
    tried = "\n  - ".join(reasons)
    msg = (
        f"Kafka {lock.kafka} is not cached and could not be fetched:\n  - {tried}\n"
        "The way out, any one of these: install Maven (`mvn` on PATH) and have network; "
        "install jgo (`pip install 'distillwatch[broker]'`) and have network; "
        f"or copy the {len(lock.jars)} jars that pipeline/kafka/jars.lock names into a folder and set "
        "DISTILLWATCH_KAFKA_JARS to it."
    )
    raise JarsUnavailable(msg)


def resolve(kafka: str, roots: Sequence[str], environment: Environment) -> Lock:
    """Follow the dependencies of the roots and hash what comes: a new lock.

    Raises
    ------
    JarsUnavailable
        When neither Maven nor jgo could.
    """
    reasons = []
    with tempfile.TemporaryDirectory(prefix="distillwatch-lock-") as name:
        for way in (_resolve_with_maven, _resolve_with_jgo):
            try:
                found = way(roots, Path(name), environment)
            except ResolverFailed as error:
                reasons.append(str(error))
            else:
                return Lock(kafka, tuple(roots), tuple(sorted(found)))
    msg = f"the roots {', '.join(roots)} could not be resolved:\n  - " + "\n  - ".join(reasons)
    raise JarsUnavailable(msg)


# Maven


def _maven(environment: Environment) -> str:
    maven = shutil.which("mvn", path=environment.path)
    if maven is None:
        msg = "Maven: `mvn` is not on PATH"
        raise ResolverFailed(msg)
    return maven


def _pom(coordinates: Iterable[str], *, transitive: bool) -> str:
    # Everything the lock names is named here, so nothing else may come along.
    exclusions = (
        ""
        if transitive
        else "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    )
    dependencies = []
    for each in coordinates:
        group, artifact, version = (escape(part) for part in each.split(":"))
        dependencies.append(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version>{exclusions}</dependency>"
        )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>distillwatch</groupId>"
        "<artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{''.join(dependencies)}</dependencies></project>\n"
    )


def _run_maven(maven: str, pom: str, options: Sequence[str], seen: Report, names: set[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="distillwatch-maven-") as name:
        file = Path(name, "pom.xml")
        file.write_text(pom, encoding="utf-8")
        command = [
            maven,
            "-B",
            "-f",
            str(file),
            f"{DEPENDENCY_PLUGIN}:copy-dependencies",
            "-DincludeScope=runtime",
            *options,
        ]
        lines: list[str] = []
        done: set[str] = set()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                # "Downloaded from …/x.jar (1 MB at …)" on the first run, "Copying x.jar to …" always.
                for word in line.replace("/", " ").split():
                    if word in names and word not in done and "Downloading" not in line:
                        done.add(word)
                        seen(len(done), len(names), word)
            code = process.wait(timeout=MAVEN_TIMEOUT_SECONDS)
        if code:
            said = [line for line in lines if line.startswith("[ERROR]")] or lines[-3:]
            msg = f"Maven ({maven}) ended with {code}: " + " ".join(said[:2])
            raise ResolverFailed(msg)


def _fetch_with_maven(lock: Lock, folder: Path, environment: Environment, report: Report) -> None:
    pom = _pom((jar.coordinates for jar in lock.jars), transitive=False)
    names = {jar.file_name for jar in lock.jars}
    _run_maven(_maven(environment), pom, [f"-DoutputDirectory={folder}"], report, names)


def _resolve_with_maven(roots: Sequence[str], folder: Path, environment: Environment) -> list[Jar]:
    target = folder / "maven"
    options = [f"-DoutputDirectory={target}", "-Dmdep.useRepositoryLayout=true"]
    _run_maven(_maven(environment), _pom(roots, transitive=True), options, lambda *_: None, set())
    jars = []
    for path in target.rglob("*.jar"):
        # group/as/folders/artifact/version/artifact-version.jar
        *group, artifact, version, _ = path.relative_to(target).parts
        jars.append(Jar(".".join(group), artifact, version, _sha256(path)))
    return jars


# jgo


def _jgo_context(folder: Path) -> Any:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        msg = f"jgo: the package is not installed ({error})"
        raise ResolverFailed(msg) from error
    return MavenContext(repo_cache=folder, timeout=DOWNLOAD_TIMEOUT_SECONDS)


def _fetch_one(context: Any, jar: Jar) -> Path:
    last: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            artifact = (
                context.project(jar.group, jar.artifact).at_version(jar.version).artifact(packaging="jar")
            )
            return Path(artifact.resolve())
        except Exception as error:  # requests, OSError and RuntimeError: all mean "try again"
            last = error
    msg = f"jgo: {jar.coordinates}: {last}"
    raise ResolverFailed(msg)


def _fetch_with_jgo(lock: Lock, folder: Path, environment: Environment, report: Report) -> None:
    del environment  # jgo is a Python package: no look at PATH
    with tempfile.TemporaryDirectory(prefix=".jgo-", dir=folder) as name:
        context = _jgo_context(Path(name))
        with trust_for_requests(), ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            running = {pool.submit(_fetch_one, context, jar): jar for jar in lock.jars}
            try:
                for done, future in enumerate(as_completed(running), start=1):
                    jar = running[future]
                    future.result().rename(folder / jar.file_name)
                    report(done, len(lock.jars), jar.file_name)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _resolve_with_jgo(roots: Sequence[str], folder: Path, environment: Environment) -> list[Jar]:
    del environment
    context = _jgo_context(folder / "jgo")
    try:
        with trust_for_requests():
            # "!": the roots bring dependencies, they do not manage the versions of one another.
            inputs, others = context.resolver.resolve(
                [context.create_dependency(f"{root}!") for root in roots]
            )
            return [
                Jar(each.groupId, each.artifactId, each.version, _sha256(Path(each.artifact.resolve())))
                for each in [*inputs, *others]
                if each.scope in (None, "compile", "runtime")
            ]
    except Exception as error:
        msg = f"jgo: {error}"
        raise ResolverFailed(msg) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
