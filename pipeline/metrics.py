"""Every metric that the deployment tells, with its meaning and unit: the one place where names are made up.

Dashboards, alert rules and runbooks refer to these names; a value of any other name cannot be recorded.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "distillwatch_"


class Kind(StrEnum):
    """How a metric behaves over time, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Parameters
    ----------
    name
        Without the common prefix; counters end in ``_total`` and name their unit before it.
    kind
        Counter or gauge.
    unit
        What one is one of.
    meaning
        One sentence for whoever reads a dashboard.
    labels
        Names of the labels every sample carries, in order.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """As Prometheus sees it."""
        return PREFIX + self.name


_BY_PARTITION = ("topic", "partition")


def _counter(name: str, unit: str, meaning: str, labels: tuple[str, ...] = _BY_PARTITION) -> Metric:
    return Metric(name, Kind.COUNTER, unit, meaning, labels)


def _gauge(name: str, unit: str, meaning: str, labels: tuple[str, ...] = _BY_PARTITION) -> Metric:
    return Metric(name, Kind.GAUGE, unit, meaning, labels)


FETCHES = _counter("fetches_total", "fetches", "Fetches of one partition that were handed over as one batch.")
FETCHED_BYTES = _counter("fetched_bytes_total", "bytes", "Length of all message values fetched.")
LATE_FETCHES = _counter(
    "late_fetches_total", "fetches", "Batches ignored because they were fetched before a seek took effect."
)
MESSAGES = _counter("messages_total", "messages", "Kafka messages decoded.")
RECORDS = _counter("records_total", "records", "Records accepted for landing.")
REJECTED = _counter(
    "rejected_records_total", "records", "Records rejected, by reason.", (*_BY_PARTITION, "reason")
)
UNKNOWN_FIELDS = _counter(
    "unknown_field_values_total", "values", "Values of fields that are not part of the record contract."
)
DECODING_SECONDS = _counter("decoding_seconds_total", "seconds", "Time spent decoding.")
LANDING_SECONDS = _counter("landing_seconds_total", "seconds", "Time spent writing and publishing segments.")
ROLL_UP_SECONDS = _counter("roll_up_seconds_total", "seconds", "Time spent computing and landing windows.")
SEGMENTS = _counter("segments_total", "segments", "Segments this worker landed.")
ROLL_UPS = _counter("roll_ups_total", "roll-ups", "Roll-ups this worker landed.")
CHAIN_MOVES = _counter(
    "chain_moves_total",
    "times",
    "Another writer landed a range first; work was dropped and the head re-read.",
)
RESYNCS = _counter(
    "resyncs_total",
    "times",
    "A fetch did not join what was held; the partition was sought back to the chain's head.",
)
LANDING_FAILURES = _counter(
    "landing_failures_total", "failures", "Attempts to land or roll up that failed and were retried."
)
DEAD_LETTERS = _counter(
    "dead_letters_sent_total", "records", "Rejected records repeated to the dead-letter topic."
)
DEAD_LETTER_FAILURES = _counter(
    "dead_letter_failures_total",
    "failures",
    "Attempts to send to the dead-letter topic that failed and were retried.",
)
ALERTS = _counter("alerts_total", "alerts", "Live alerts raised.", ("detector",))
SCORING_FAILURES = _counter(
    "scoring_failures_total", "failures", "Live looks at an account that failed; landing is not affected.", ()
)

CHAIN_HEAD = _gauge(
    "chain_head_offset", "offset", "Next offset to land: everything before it is in the lake."
)
LOG_END = _gauge("log_end_offset", "offset", "End of the partition's log as of the last fetch.")
LAG = _gauge("lag_records", "offsets", "Offsets between the chain's head and the end of the log.")
HELD = _gauge("held_records", "records", "Records decoded and not landed yet.")
FAILING = _gauge("landing_failing", "bool", "1 while landing this partition fails and is being retried.")
ASSIGNED = _gauge("assigned_partitions", "partitions", "Partitions this worker owns.", ("topic",))
HEALTHY = _gauge("healthy", "bool", "1 when /health answers 200.", ())
START_TIME = _gauge("start_time_seconds", "seconds since 1970", "When this worker started.", ())
MEMORY = _gauge("resident_memory_bytes", "bytes", "Memory this worker occupies.", ())

CATALOGUE: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)


class Metrics:
    """Current values. Safe to record from any thread.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.add(ALERTS, 2, "overlap")
    >>> print(metrics.render([ALERTS]), end="")
    # HELP distillwatch_alerts_total Live alerts raised. Unit: alerts.
    # TYPE distillwatch_alerts_total counter
    distillwatch_alerts_total{detector="overlap"} 2
    """

    def __init__(self) -> None:
        self._values: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in CATALOGUE}
        self._lock = threading.Lock()

    def add(self, metric: Metric, amount: float, *labels: object) -> None:
        """Count something.

        Raises
        ------
        ValueError
            When the number of label values is wrong, the metric is a gauge, or the amount negative.
        """
        if metric.kind is not Kind.COUNTER or amount < 0:
            msg = f"{metric.name} cannot have {amount} added: only counters are counted up"
            raise ValueError(msg)
        key = self._key(metric, labels)
        with self._lock:
            values = self._values[metric]
            values[key] = values.get(key, 0) + amount

    def set(self, metric: Metric, value: float, *labels: object) -> None:
        """State how something stands now."""
        if metric.kind is not Kind.GAUGE:
            msg = f"{metric.name} cannot be set: it is a counter"
            raise ValueError(msg)
        key = self._key(metric, labels)
        with self._lock:
            self._values[metric][key] = value

    def forget(self, metric: Metric, *labels: object) -> None:
        """Leave out a gauge from now on, e.g. of a partition that moved to another worker."""
        key = self._key(metric, labels)
        with self._lock:
            self._values[metric].pop(key, None)

    def value(self, metric: Metric, *labels: object) -> float:
        """The current value; 0 when nothing was recorded."""
        with self._lock:
            return self._values[metric].get(self._key(metric, labels), 0)

    def total(self, metric: Metric) -> float:
        """Sum over all labels."""
        with self._lock:
            return sum(self._values[metric].values())

    def render(self, metrics: Iterable[Metric] = CATALOGUE) -> str:
        """Prometheus' text format 0.0.4."""
        lines: list[str] = []
        with self._lock:
            for metric in metrics:
                lines.append(f"# HELP {metric.full_name} {metric.meaning} Unit: {metric.unit}.")
                lines.append(f"# TYPE {metric.full_name} {metric.kind}")
                lines += [
                    f"{metric.full_name}{_labels(metric.labels, key)} {_number(value)}"
                    for key, value in sorted(self._values[metric].items())
                ]
        return "\n".join(lines) + "\n"

    def snapshot(self) -> Mapping[str, float]:
        """Totals by name, for a log line or a test."""
        return {metric.name: self.total(metric) for metric in CATALOGUE}

    @staticmethod
    def _key(metric: Metric, labels: tuple[object, ...]) -> tuple[str, ...]:
        if len(labels) != len(metric.labels):
            msg = f"{metric.name} has the labels {metric.labels}, not {len(labels)} of them"
            raise ValueError(msg)
        return tuple(map(str, labels))


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
