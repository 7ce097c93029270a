"""What the environment says, read once at the edge; nothing else in `pipeline` looks at variables."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that matter to us, as values.

    Attributes
    ----------
    cache
        Folder for what can be fetched again: `DISTILLWATCH_CACHE`, else `XDG_CACHE_HOME/distillwatch`,
        else `~/.cache/distillwatch`.
    kafka_jars
        Folder that already holds Kafka's jars (`DISTILLWATCH_KAFKA_JARS`), for machines without a network.
    java_home
        `JAVA_HOME`, when it is set.
    path
        `PATH`, where `java` and `mvn` are looked for.
    """

    cache: Path
    kafka_jars: Path | None
    java_home: Path | None
    path: str

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Parse the given variables, or those of this process.

        Raises
        ------
        UsageError
            When no cache folder can be named because neither a variable nor a home folder says one.
        """
        values = os.environ if variables is None else variables
        return cls(
            cache=_cache(values),
            kafka_jars=_folder(values, "DISTILLWATCH_KAFKA_JARS"),
            java_home=_folder(values, "JAVA_HOME"),
            path=values.get("PATH", os.defpath),
        )


@contextmanager
def trust_for_requests() -> Iterator[None]:
    """Let the `requests` package trust what `SSL_CERT_FILE` names, as everything else here does.

    It knows the certificates of a company's proxy only by a variable of its own.
    """
    given = os.environ.get("SSL_CERT_FILE")
    if not given or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        yield
        return
    os.environ["REQUESTS_CA_BUNDLE"] = given
    try:
        yield
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]


@contextmanager
def one_thread_per_product() -> Iterator[None]:
    """Let processes that begin meanwhile run each matrix product in the thread that asks for it.

    Several processes keep the processors busy by themselves. Products that spread over all processors besides wait for
    each other by spinning, the longer the busier the machine is. Arrow's reading follows `OMP_NUM_THREADS`, too, and
    keeps for ten seconds the memory that the next row group will want again.
    """
    settings = {
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MIMALLOC_PURGE_DELAY": "10000",
    }
    names = [name for name in settings if name not in os.environ]
    os.environ.update({name: settings[name] for name in names})
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


@contextmanager
def one_thread_per_product_here() -> Iterator[None]:
    """Run each matrix product of this process in the thread that asks for it; also a decorator.

    Thousands of small products that spread over all processors wait for each other by spinning: with another program
    beside this one, ten times as long as in one thread. Work that is large goes to threads or processes as a whole.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _folder(values: Mapping[str, str], name: str) -> Path | None:
    value = values.get(name, "").strip()
    return Path(value).expanduser() if value else None


def _cache(values: Mapping[str, str]) -> Path:
    own = _folder(values, "DISTILLWATCH_CACHE")
    if own is not None:
        return own.absolute()
    shared = _folder(values, "XDG_CACHE_HOME")
    # The XDG rules say that a relative path there is to be ignored.
    if shared is not None and shared.is_absolute():
        return shared / "distillwatch"
    try:
        home = Path(values["HOME"]) if values.get("HOME") else Path.home()
    except RuntimeError as error:
        msg = "no cache folder: HOME is not set and the user has no home folder; set DISTILLWATCH_CACHE to a folder that may be written"
        raise UsageError(msg) from error
    return home / ".cache" / "distillwatch"
