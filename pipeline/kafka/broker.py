"""A real Apache Kafka for the demo and the tests: one KRaft node on loopback, on ports nobody uses.

``python -m pipeline.kafka.broker`` starts one in the foreground and prints where it listens.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.clock import SystemClock
from pipeline.errors import DistillwatchError
from pipeline.kafka.client import admin
from pipeline.kafka.jars import Report, ensure_jars, silent
from pipeline.kafka.java import find_java
from pipeline.kafka.ports import LOOPBACK, free_ports, is_free
from pipeline.kafka.server import JVM, LOGGING, server_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pipeline.clock import Clock

START_SECONDS = 90.0
STOP_SECONDS = 20.0
ASK_MS = 5_000
PORT_TRIES = 5
LOG_LINES = 25


class BrokerFailed(DistillwatchError):
    """Kafka did not start, did not stop, or ended by itself; the message names its log folder."""


class EmbeddedKafka:
    """One Kafka node that lives no longer than this process.

    Use it as a context manager, or call `start` and `stop`. It never creates topics by itself.

    Parameters
    ----------
    folder
        Where data, logs and settings lie. Given: kept after `stop`, and a later start finds the data.
        None: a temporary folder, removed at `stop` (kept when the broker failed, for its log).
    properties
        Server properties that add to or replace the ones set here.
    security
        What `pipeline.kafka.client` factories take, when `properties` ask for authentication.
    report
        Told about the progress of a first fetch of Kafka's jars.
    start_seconds
        How long the server may take until it answers.
    clock
        Measures that.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        security: Mapping[str, Any] | None = None,
        report: Report = silent,
        start_seconds: float = START_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._given = folder
        self._extra = dict(properties or {})
        self._security = dict(security or {})
        self._report = report
        self._start_seconds = start_seconds
        self._folder: Path | None = None
        self._ports: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """The folder that holds everything of this broker."""
        if self._folder is None:
            msg = "this Kafka was not started yet"
            raise BrokerFailed(msg)
        return self._folder

    @property
    def data_dir(self) -> Path:
        """Kafka's own log segments."""
        return self.folder / "data"

    @property
    def log_dir(self) -> Path:
        """What the server said; `server.log` is the file to read."""
        return self.folder / "logs"

    @property
    def bootstrap_servers(self) -> str:
        """``127.0.0.1:port``; stays the same over `restart`."""
        if not self._ports:
            msg = "this Kafka was not started yet"
            raise BrokerFailed(msg)
        return f"{LOOPBACK}:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """Process id of the Java server while it runs."""
        if self._process is None or self._process.poll() is not None:
            return None
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder / "server.pid").read_text())
        return None

    @property
    def running(self) -> bool:
        """Whether the server's process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Format the data folder if it is new, start, and wait until the broker answers.

        Raises
        ------
        BrokerFailed
            With the log's last lines and its folder.
        JarsUnavailable, JarMismatch, JavaUnavailable
            When there is nothing to start.
        """
        if self.running:
            return self
        java = find_java()
        jars = ensure_jars(report=self._report)
        if self._folder is None:
            self._folder = self._given or Path(tempfile.mkdtemp(prefix="distillwatch-kafka-"))
        for each in (self.data_dir, self.log_dir):
            each.mkdir(parents=True, exist_ok=True)
        classpath = os.pathsep.join(map(str, jars))
        command = [str(java.path), *JVM, f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"]
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        # A port that was free a moment ago can be taken by the time Java binds it.
        keep_port = bool(self._ports)
        for attempt in range(1, PORT_TRIES + 1):
            if not keep_port:
                self._ports = free_ports(2)
            self._write_properties()
            self._format()
            mark = self._log_size()
            self._launch([*command, "-cp", classpath, "kafka.Kafka", str(self.folder / "server.properties")])
            try:
                self._wait_until_ready()
            except BrokerFailed:
                taken = "Address already in use" in self._log_since(mark)
                self._end(signal.SIGKILL, STOP_SECONDS)
                if not taken or keep_port or attempt == PORT_TRIES:
                    raise
            except BaseException:
                # Interrupted, or wrongly set up: not the server's fault, so its log need not stay.
                self.kill()
                self.stop()
                raise
            else:
                break
        return self

    def stop(self) -> None:
        """Ask the server to end, kill it if it does not, and remove a temporary folder."""
        died = self._process is not None and not self.running
        self._end(signal.SIGTERM, STOP_SECONDS)
        # Ended by itself: its log is the only witness.
        if self._folder is not None and self._given is None and not died:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._ports = ()

    def kill(self) -> None:
        """End the server as a power cut would (SIGKILL); data and port stay for `restart`."""
        self._end(signal.SIGKILL, STOP_SECONDS)

    def restart(self) -> Self:
        """Stop if it runs, and start again on the same data and port."""
        self._end(signal.SIGTERM, STOP_SECONDS)
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def tail(self, lines: int = LOG_LINES) -> str:
        """The last lines of the server's log."""
        try:
            text = (self.log_dir / "server.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def failure(self, what: str) -> BrokerFailed:
        """An error that says where the logs are and quotes their end."""
        msg = f"{what}; its logs are in {self.log_dir}, the last lines of server.log:\n{self.tail()}"
        return BrokerFailed(msg)

    def _write_properties(self) -> None:
        settings = server_properties(self._ports, self.data_dir) | self._extra
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / "server.properties").write_text(text.replace("\\", "\\\\"), encoding="utf-8")

    def _format(self) -> None:
        """What `kafka-storage format` leaves for a static quorum, without a second start of Java."""
        file = self.data_dir / "meta.properties"
        if not file.exists():
            file.write_text(
                f"version=1\ncluster.id={_short_id()}\nnode.id=1\ndirectory.id={_short_id()}\n",
                encoding="ascii",
            )

    def _launch(self, command: list[str]) -> None:
        pid_file = self.folder / "server.pid"
        pid_file.unlink(missing_ok=True)
        doomed = str(self.folder) if self._given is None else ""
        watchdog = Path(__file__).with_name("watchdog.py")
        with (self.log_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(watchdog), doomed, str(pid_file), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        """Until the broker answers a metadata request and names itself."""
        from kafka.errors import KafkaConfigurationError, KafkaError

        last = ""
        assert self._process is not None
        deadline = self._clock.monotonic() + self._start_seconds
        while self._clock.monotonic() < deadline:
            if self._process.poll() is not None:
                what = f"Kafka ended with {self._process.returncode} while starting"
                raise self.failure(what)
            # Nobody listens yet: asking by protocol would only wait out the client's back-off.
            if is_free(self._ports[0]):
                time.sleep(0.05)
                continue
            try:
                client = admin(
                    self.bootstrap_servers,
                    self._security,
                    bootstrap_timeout_ms=ASK_MS,
                    request_timeout_ms=ASK_MS,
                )
                try:
                    if client.describe_cluster()["brokers"]:
                        return
                finally:
                    client.close()
            except KafkaConfigurationError:
                raise
            except (KafkaError, OSError) as error:
                last = f" (last error: {error!r})"
            time.sleep(0.1)
        what = f"Kafka did not answer on {self.bootstrap_servers} within {self._start_seconds:.0f} s{last}"
        raise self.failure(what)

    def _end(self, how: signal.Signals, seconds: float) -> None:
        process = self._process
        if process is None:
            return
        for each in (how, signal.SIGKILL):
            pid = self.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, each)
            elif process.poll() is None:
                # The watchdog has not started Java yet.
                process.kill()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            break
        else:
            what = f"Kafka (process {process.pid}) could not be ended"
            raise self.failure(what)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def _log_size(self) -> int:
        file = self.log_dir / "server.log"
        return file.stat().st_size if file.exists() else 0

    def _log_since(self, mark: int) -> str:
        with (self.log_dir / "server.log").open("rb") as file:
            file.seek(mark)
            return file.read().decode(errors="replace")


def _short_id() -> str:
    """A Kafka identifier: 16 random bytes in URL-safe base64 without padding, never starting with a dash."""
    while (name := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return name


def main() -> int:
    """Run one in the foreground until Ctrl-C or SIGTERM; print where it listens."""
    import argparse
    import threading

    from pipeline.cli.progress import reporter

    parser = argparse.ArgumentParser(prog="python -m pipeline.kafka.broker", description=main.__doc__)
    parser.add_argument("--folder", type=Path, help="keep data and logs here (default: a temporary folder)")
    parser.add_argument("--topics", action="store_true", help="create the topics of infra/kafka/topics.toml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a server property; may be repeated"
    )
    options = parser.parse_args()
    asked = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: asked.set())
    properties = dict(each.split("=", 1) for each in options.set)
    with reporter("Fetching Kafka") as report:
        kafka = EmbeddedKafka(options.folder, properties=properties, report=report).start()
    try:
        if options.topics:
            from pipeline.kafka.topics import apply

            apply(kafka.bootstrap_servers)
        sys.stdout.write(f"{kafka.bootstrap_servers}\n")
        sys.stdout.flush()
        while kafka.running and not asked.wait(0.5):
            pass
        if not kafka.running:
            what = "Kafka ended by itself"
            raise kafka.failure(what)
    finally:
        kafka.stop()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DistillwatchError as error:
        sys.exit(f"error: {error}")
