"""Files and Kafka messages hold what was generated, and failures are not passed over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.clock import ManualClock
from pipeline.errors import DistillwatchError, UsageError
from pipeline.records.decode import RecordDecoder
from pipeline.simulate.labels import read_labels, write_labels
from pipeline.simulate.records import Traffic
from pipeline.simulate.sinks import FileSink, KafkaSink, Pacer
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from pathlib import Path

END = datetime(2026, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(build_world(WorldSettings(records=900, accounts=20, seed=5)), END, batch_rows=400)


def decode(values: list[bytes]) -> pa.Table:
    import numpy as np

    decoder = RecordDecoder(EmbeddingSpace(), pseudonyms=None)
    decoded = decoder.decode_messages(
        values, topic_id="t", topic="t", partition=0, offsets=np.arange(len(values)), append_times=None
    )
    assert decoded.rejected.num_rows == 0
    return decoded.records


@pytest.mark.parametrize("name", ["log.parquet", "log.jsonl", "log.jsonl.gz"])
def test_a_file_holds_every_record_and_equal_seeds_give_equal_bytes(
    traffic: Traffic, tmp_path: Path, name: str
) -> None:
    import gzip

    contents = []
    for folder in ("a", "b"):
        path = tmp_path / folder / name
        path.parent.mkdir()
        with FileSink(path, traffic.schema) as sink:
            for table in traffic:
                sink.write(table)
        contents.append(path.read_bytes())
        assert [each.name for each in path.parent.iterdir()] == [name]
    assert contents[0] == contents[1]
    if name.endswith("parquet"):
        assert pq.read_table(tmp_path / "a" / name).equals(pa.concat_tables(traffic))
    else:
        data = gzip.decompress(contents[0]) if name.endswith("gz") else contents[0]
        back = decode(data.splitlines())
        made = pa.concat_tables(traffic)
        for column in (
            "request_id",
            "account_id",
            "event_time",
            "embedding",
            "temperature",
            "client_network",
        ):
            assert back[column].to_pylist() == made[column].to_pylist()


def test_a_failed_file_leaves_nothing(traffic: Traffic, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"), FileSink(tmp_path / "x.jsonl", traffic.schema) as sink:  # noqa: PT012
        sink.write(next(iter(traffic)))
        raise RuntimeError("broken")  # noqa: EM101
    assert list(tmp_path.iterdir()) == []


class Sent:
    """Records what a producer is given; stands in for the broker in order to make it fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.messages: list[tuple[bytes, dict[str, object]]] = []
        self.error = error

    def send(self, topic: str, value: bytes, **where: object) -> Sent:
        self.messages.append((value, where))
        return self

    def add_errback(self, note) -> None:  # type: ignore[no-untyped-def]
        if self.error:
            note(self.error)

    def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def flush(self) -> None: ...

    def close(self, timeout: float | None = None) -> None: ...


@pytest.mark.parametrize("encoding", ["json", "arrow"])
def test_every_record_is_sent_once_and_an_account_stays_in_one_partition(
    traffic: Traffic, encoding: str
) -> None:
    producer = Sent()
    with KafkaSink(producer, "t", encoding=encoding, arrow_rows=50) as sink:
        for table in traffic:
            sink.write(table)
    records = decode([value for value, _ in producer.messages])
    made = pa.concat_tables(traffic)
    assert sorted(records["request_id"].to_pylist()) == sorted(made["request_id"].to_pylist())
    if encoding == "json":
        assert [where["key"].decode() for _, where in producer.messages] == made["account_id"].to_pylist()
    else:
        homes: dict[str, set[object]] = {}
        for value, where in producer.messages:
            part = decode([value])
            assert part.num_rows <= 50
            for account in set(part["account_id"].to_pylist()):
                homes.setdefault(account, set()).add(where["partition"])
        assert all(len(places) == 1 for places in homes.values())
        assert len(set().union(*homes.values())) == 3


def test_what_the_broker_refuses_is_raised(traffic: Traffic) -> None:
    sink = KafkaSink(Sent(ValueError("too large")), "logs")
    with pytest.raises(DistillwatchError, match="topic logs: too large"):
        sink.write(next(iter(traffic)))


def test_the_pace_is_held_on_average() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    pacer = Pacer(100.0, clock, clock.advance)
    for _ in range(11):
        pacer.wait(50)
    assert clock.monotonic() == pytest.approx(5.0)
    with pytest.raises(UsageError, match="rate is 0"):
        Pacer(0, clock, clock.advance)


def test_labels_come_back(traffic: Traffic, tmp_path: Path) -> None:
    write_labels(traffic.world.labels, tmp_path / "l.jsonl")
    assert read_labels(tmp_path / "l.jsonl") == traffic.world.labels
    (tmp_path / "l.jsonl").write_text('{"account_id": 1}\n')
    with pytest.raises(UsageError, match="line 1 is not a label"):
        read_labels(tmp_path / "l.jsonl")
