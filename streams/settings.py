"""What a worker is told, once, at its start. Only this module of the deployment looks at the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
DEFAULT_TOPIC = "llm-api-logs"
DEFAULT_GROUP = "distillwatch"
ALERT_TOPIC = "distillation-alerts"


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Bounds of one fetch, per partition.

    Parameters
    ----------
    records
        Most records of one partition in one batch.
    bytes
        Most bytes of one partition in one batch; one larger message still passes alone.
    total_bytes
        Most bytes of one answer of a broker, over all partitions.
    wait_ms
        How long the broker may wait for the first byte. One request is in flight per broker, so this also is
        how long an idle partition can hold up a busy one.
    metadata_max_age_ms
        After this time new partitions are noticed.
    """

    records: int = 8192
    bytes: int = 4 << 20
    total_bytes: int = 16 << 20
    wait_ms: int = 200
    metadata_max_age_ms: int = 30_000

    def __post_init__(self) -> None:
        for name in ("records", "bytes", "total_bytes", "wait_ms"):
            if getattr(self, name) < 1:
                msg = f"fetch {name} is {getattr(self, name)}; it must be at least 1"
                raise UsageError(msg)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Everything a worker needs to know.

    Parameters
    ----------
    lake
        Folder of the lake; created if it is not there.
    bootstrap_servers, topic, group
        Which log to read, and as whom. Workers of one group share its partitions.
    security
        kafka-python's and aiokafka's security arguments, from a properties file.
    dead_letter_topic, alert_topic
        Where rejected records and alerts are repeated; None: nowhere.
    web_host, web_port
        Where /health and /metrics answer; port 0 takes a free one.
    backend
        numpy, cupy or auto.
    pseudonym_key
        File with the key for pseudonyms; None: names land as they come.
    segment_records, segment_bytes, segment_seconds, roll_up_records, roll_up_seconds
        When a segment and when windows are landed.
    max_message_bytes, max_future_seconds, adapter
        Bounds of the decoder, and the format of JSON messages: native, otel, litellm or auto.
    accept_recreated_topic
        Begin new chains although the lake holds those of an earlier topic of this name.
    live_scoring
        Look at accounts as they grow, and raise alerts.
    until_caught_up
        Stop after everything is landed that the topic held at the start.
    session_seconds
        After this silence Kafka gives a worker's partitions to another.
    commit_seconds
        How often the chain's head is committed to Kafka, for lag monitoring.
    check_seconds
        How often the topic's identity and the group are looked at when nothing is landed.
    landing_threads
        Threads that decode and land; 0: one per processor, at least two.
    stop_seconds
        After landing, so long may Faust take to end before the process does.
    """

    lake: Path
    bootstrap_servers: str = DEFAULT_BOOTSTRAP
    topic: str = DEFAULT_TOPIC
    group: str = DEFAULT_GROUP
    security: Mapping[str, Any] = field(default_factory=dict)
    dead_letter_topic: str | None = None
    alert_topic: str | None = ALERT_TOPIC
    web_host: str = "127.0.0.1"
    web_port: int = 0
    backend: str = "auto"
    pseudonym_key: Path | None = None
    segment_records: int = 65_536
    segment_bytes: int = 16 << 20
    segment_seconds: float = 60.0
    roll_up_records: int = 262_144
    roll_up_seconds: float = 300.0
    max_message_bytes: int = 1 << 20
    max_future_seconds: int = 3600
    adapter: Literal["native", "otel", "litellm", "auto"] = "auto"
    accept_recreated_topic: bool = False
    live_scoring: bool = True
    until_caught_up: bool = False
    session_seconds: float = 10.0
    commit_seconds: float = 2.0
    check_seconds: float = 10.0
    landing_threads: int = 0
    stop_seconds: float = 5.0
    fetch: FetchSettings = field(default_factory=FetchSettings)

    def __post_init__(self) -> None:
        for name in ("segment_records", "segment_bytes", "roll_up_records", "max_message_bytes"):
            if getattr(self, name) < 1:
                msg = f"{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1"
                raise UsageError(msg)
        if not 0 <= self.web_port <= 65_535:
            msg = f"web port {self.web_port} does not exist; ports run from 1 to 65535, 0 takes a free one"
            raise UsageError(msg)

    @property
    def threads(self) -> int:
        """Threads that decode and land."""
        return self.landing_threads or max(2, os.cpu_count() or 2)


def one_thread_per_product(variables: MutableMapping[str, str] | None = None) -> None:
    """Let matrix products run in the thread that asks for them; call it before numpy is imported.

    A worker lands several partitions at a time and keeps the processors busy with them. Products that spread over all
    processors besides wait for each other: measured, the same work then costs a fifth more processor time.
    """
    values = os.environ if variables is None else variables
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        values.setdefault(name, "1")
