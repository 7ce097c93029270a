"""Where simulated records go: a JSONL or Parquet file, or a Kafka topic keyed by account."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DistillwatchError, UsageError
from pipeline.records.encode import encode_arrow, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from pipeline.clock import Clock

FORMATS = ("jsonl", "jsonl.gz", "parquet")
ARROW_ROWS = 1000
# Records between two looks at the clock while pacing.
PACED_ROWS = 256


class Sink(Protocol):
    """Takes tables in order of event time; a context manager that flushes at the end."""

    def write(self, table: pa.Table) -> None:
        """Take one table."""
        ...

    def __enter__(self) -> Self:
        """Itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and close."""
        ...


def format_of(path: Path, wanted: str | None = None) -> str:
    """The file format: what is wanted, else what the name's ending says.

    Raises
    ------
    UsageError
        Neither says.

    Examples
    --------
    >>> from pathlib import Path
    >>> format_of(Path("log.jsonl.gz")), format_of(Path("log"), "parquet")
    ('jsonl.gz', 'parquet')
    """
    if wanted:
        return wanted
    for name in reversed(FORMATS):
        if path.name.endswith(f".{name}"):
            return name
    msg = f"the name {path.name} does not say which format; end it in .jsonl, .jsonl.gz or .parquet, or say --format"
    raise UsageError(msg)


class FileSink:
    """Writes one file; it gets its name when it is whole."""

    def __init__(self, path: Path, schema: pa.Schema, file_format: str | None = None) -> None:
        self.path = path
        self.format = format_of(path, file_format)
        self._part = path.with_name(f".{path.name}.part")
        self._parquet: pq.ParquetWriter | None = None
        self._lines: Any = None
        if self.format == "parquet":
            self._parquet = pq.ParquetWriter(self._part, schema, compression="zstd", compression_level=1)
        elif self.format == "jsonl.gz":
            # No name and no time inside: the same records give the same bytes.
            self._raw = self._part.open("wb")
            self._lines = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0, compresslevel=1)
        else:
            self._lines = self._part.open("wb")

    def write(self, table: pa.Table) -> None:
        """Append the rows."""
        if self._parquet is not None:
            self._parquet.write_table(table, row_group_size=max(1, table.num_rows))
        else:
            self._lines.write(b"\n".join(encode_json(table)) + b"\n")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; without an error the file gets its name, with one it is removed."""
        if self._parquet is not None:
            self._parquet.close()
        else:
            self._lines.close()
            if self.format == "jsonl.gz":
                self._raw.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)


class KafkaSink:
    """Sends records through a kafka-python producer.

    Parameters
    ----------
    producer
        A `kafka.KafkaProducer` (``pipeline.kafka.client.producer``); closed at the end.
    topic
        Name of the topic.
    encoding
        ``"json"``: a message per record, its key the account. ``"arrow"``: messages of at most ``arrow_rows``
        records, each to the partition that JSON messages with its accounts' keys would go to.
    arrow_rows
        Most records of an Arrow message.
    pacer
        Holds the pace, or None for as fast as the broker takes it.
    """

    def __init__(
        self,
        producer: Any,
        topic: str,
        *,
        encoding: str = "json",
        arrow_rows: int = ARROW_ROWS,
        pacer: Pacer | None = None,
    ) -> None:
        if encoding not in {"json", "arrow"}:
            msg = f"encoding is {encoding!r}; it is json or arrow"
            raise UsageError(msg)
        self.topic = topic
        self._producer = producer
        self._encoding = encoding
        self._arrow_rows = arrow_rows
        self._pacer = pacer
        self._failed: BaseException | None = None
        self._partition: dict[str, int] = {}

    def write(self, table: pa.Table) -> None:
        """Send the rows; blocks while the producer's buffer is full.

        Raises
        ------
        DistillwatchError
            The broker refused an earlier message.
        """
        step = table.num_rows if self._pacer is None else PACED_ROWS
        for start in range(0, table.num_rows, max(step, 1)):
            part = table.slice(start, step)
            if self._pacer is not None:
                self._pacer.wait(part.num_rows)
            (self._send_json if self._encoding == "json" else self._send_arrow)(part)
            self._raise_failure()

    def _send_json(self, table: pa.Table) -> None:
        for key, value in zip(table["account_id"].to_pylist(), encode_json(table), strict=True):
            self._send(value, key=key.encode())

    def _send_arrow(self, table: pa.Table) -> None:
        encoded = table["account_id"].combine_chunks().dictionary_encode()
        place = np.array(
            [self._partition_of(account) for account in encoded.dictionary.to_pylist()], np.int64
        )
        partition = place[encoded.indices.to_numpy()]
        for number in np.unique(partition):
            mine = table.take(pa.array(np.flatnonzero(partition == number)))
            for start in range(0, mine.num_rows, self._arrow_rows):
                self._send(encode_arrow(mine.slice(start, self._arrow_rows)), partition=int(number))

    def _partition_of(self, account: str) -> int:
        found = self._partition.get(account)
        if found is None:
            from kafka.partitioner.default import murmur2

            count = len(self._producer.partitions_for(self.topic))
            found = (murmur2(account.encode()) & 0x7FFFFFFF) % count
            self._partition[account] = found
        return found

    def _send(self, value: bytes, **where: object) -> None:
        self._producer.send(self.topic, value=value, **where).add_errback(self._note)

    def _note(self, error: BaseException) -> None:
        self._failed = self._failed or error

    def _raise_failure(self) -> None:
        if self._failed is not None:
            msg = f"Kafka refused a message for topic {self.topic}: {self._failed}; is the topic there, and are messages of this size allowed?"
            raise DistillwatchError(msg) from self._failed

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush, close, and raise what the broker refused."""
        if kind is None:
            self._producer.flush()
        self._producer.close(timeout=None if kind is None else 1)
        if kind is None:
            self._raise_failure()


class Pacer:
    """Holds back so that at most ``rate`` records a second go out on average.

    Parameters
    ----------
    rate
        Records a second.
    clock
        Asked for monotonic seconds.
    sleep
        Called with seconds to wait.
    """

    def __init__(self, rate: float, clock: Clock, sleep: Callable[[float], object]) -> None:
        if rate <= 0:
            msg = f"rate is {rate}; it must be above 0 (leave it out for as fast as possible)"
            raise UsageError(msg)
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._start: float | None = None
        self._sent = 0

    def wait(self, records: int) -> None:
        """Return when ``records`` more may go out."""
        now = self._clock.monotonic()
        if self._start is None:
            self._start = now
        ahead = self._start + self._sent / self._rate - now
        if ahead > 0:
            self._sleep(ahead)
        self._sent += records


def kafka_sink(
    bootstrap_servers: str,
    topic: str,
    security: Mapping[str, Any] | None = None,
    *,
    encoding: str = "json",
    arrow_rows: int = ARROW_ROWS,
    pacer: Pacer | None = None,
) -> KafkaSink:
    """A sink with a producer of its own."""
    from pipeline.kafka.client import producer

    return KafkaSink(
        producer(bootstrap_servers, security), topic, encoding=encoding, arrow_rows=arrow_rows, pacer=pacer
    )
