"""Every kind of bad input, between good records, through real Kafka and a worker: where each of them ends up.

    python tests/shows/bad_input.py [--good 2000] [--seed 3] [--bootstrap-servers HOST:PORT]

Each bad message must be in the dead-letter topic and in the table `dead_letters`, with topic, partition, offset and the
expected reason; every good record must land. Prints one line for each kind; exit code 0 only if all of that holds.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import stage
import traffic

from pipeline.kafka import client
from pipeline.kafka.broker import EmbeddedKafka
from pipeline.records.encode import encode_arrow
from pipeline.warehouse import connect

if TYPE_CHECKING:
    from collections.abc import Callable

DIMENSION = 384


@dataclass(frozen=True)
class Bad:
    """One kind: a message value, and the reasons of which one must be given."""

    name: str
    value: bytes | None
    reasons: frozenset[str]


def kinds(good: dict[str, Any], table: pa.Table) -> list[Bad]:
    """Bad messages, made by breaking a good one."""

    def broken(name: str, reason: str, change: Callable[[dict[str, Any]], Any]) -> Bad:
        record = json.loads(json.dumps(good))
        changed = change(record)
        value = changed if isinstance(changed, bytes) else json.dumps(record).encode()
        return Bad(name, value, frozenset(reason.split("|")))

    def put(**fields: Any) -> Callable[[dict[str, Any]], None]:
        return lambda record: record.update(fields)

    def text_only(record: dict[str, Any]) -> None:
        del record["embedding"]
        record["prompt"] = "hello"

    def without(name: str) -> Callable[[dict[str, Any]], Any]:
        return lambda record: record.pop(name) and None

    stream = encode_arrow(table.slice(0, 50))
    # 200 MB that travel as 20 kB.
    zeros = pa.table({"request_id": pa.array(["x"] * 20), "account_id": pa.array(["a" * 10_000_000] * 20)})
    text = json.dumps(good).encode()
    return [
        Bad("no value (tombstone)", None, frozenset({"null_value"})),
        broken("not JSON", "not_json", lambda _: b"request=1&account=2"),
        broken("cut in the middle", "not_json", lambda _: text[: len(text) // 2]),
        broken("empty message", "not_json", lambda _: b""),
        broken("JSON, but a list", "not_an_object", lambda _: b"[1, 2, 3]"),
        broken("Latin-1 bytes", "wrong_encoding|not_json", lambda _: text.replace(b"account-", b"account-\xe9\xe8")),
        broken("UTF-16", "wrong_encoding|not_json", lambda _: text.decode().encode("utf-16")),
        broken("random bytes", "not_json|wrong_encoding", lambda _: random.Random(1).randbytes(500)),
        broken("100,000 open brackets", "not_json|not_an_object|wrong_type", lambda _: b"[" * 100_000),
        broken("2 MB in one message", "too_large", put(user_agent="x" * (2 << 20))),
        broken("request_id missing", "missing_field", without("request_id")),
        broken("account_id missing", "missing_field", without("account_id")),
        broken("account_id empty", "empty_id", put(account_id="")),
        broken("account_id a number", "wrong_type", put(account_id=[7])),
        broken("event_time missing", "missing_field", without("event_time")),
        broken("event_time no time", "bad_time", put(event_time="yesterday")),
        broken("event_time before 1970", "time_before_1970", put(event_time="1969-12-31T23:59:59Z")),
        broken("event_time far ahead", "time_beyond_bound", put(event_time="2199-01-01T00:00:00Z")),
        broken("input_tokens a word", "wrong_type", put(input_tokens="many")),
        broken("input_tokens negative", "out_of_range", put(input_tokens=-5)),
        broken("output_tokens 2**62", "out_of_range", put(output_tokens=2**62)),
        broken("embedding missing", "no_embedding", without("embedding")),
        broken("text, but no embedding", "text_without_embedding|no_embedding", text_only),
        broken("embedding no base64", "bad_embedding", put(embedding="%%%%")),
        broken("embedding of 100", "wrong_dimension", put(embedding=[0.1] * 100)),
        broken("base64 of 383 bytes", "wrong_dimension|bad_embedding", put(embedding=base64.b64encode(b"\x01" * 383).decode())),
        broken("another embedding model", "other_space", put(embedding_model="text-embedding-3-large")),
        broken("NaN inside", "not_finite|not_json", lambda r: json.dumps({**r, "embedding": [float("nan")] * DIMENSION}).encode()),
        broken("zero vector", "zero_vector", put(embedding=[0.0] * DIMENSION)),
        broken("int8 off the grid", "not_on_grid", put(embedding=base64.b64encode(b"\x7f" * DIMENSION).decode())),
        Bad("Arrow stream, cut", stream[: len(stream) - 700], frozenset({"not_arrow"})),
        Bad("Arrow stream, garbage", stream[:64] + bytes(2_000), frozenset({"not_arrow", "arrow_schema", "arrow_bomb"})),
        Bad("Arrow with other columns", encode_arrow_of({"name": ["x"]}), frozenset({"arrow_schema", "missing_field", "not_arrow"})),
        Bad("compressed Arrow bomb", encode_arrow(zeros, compression="zstd"), frozenset({"arrow_bomb", "arrow_schema"})),
    ]  # fmt: skip


def encode_arrow_of(columns: dict[str, list[Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def send(
    bootstrap: str, topic: str, messages: list[tuple[Bad | None, bytes | None]]
) -> dict[tuple[int, int], Bad]:
    """Send in order; returns where Kafka put each bad message."""
    producer = client.producer(bootstrap)
    waiting = [
        (bad, producer.send(topic, key=b"k%d" % i, value=value)) for i, (bad, value) in enumerate(messages)
    ]
    producer.flush()
    places = {}
    for bad, future in waiting:
        where = future.get(timeout=60)
        if bad is not None:
            places[(where.partition, where.offset)] = bad
    producer.close()
    return places


def read_letters(bootstrap: str, topic: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The dead-letter topic by position."""
    found = {}
    with client.connected(bootstrap) as admin:
        ranges = client.log_ranges(admin, topic)
    for partition, (first, stop) in ranges.items():
        for batch in client.read_range(bootstrap, topic, partition, first, stop):
            for record in batch:
                letter = json.loads(record.value)
                assert record.key.decode().endswith(
                    f"/{letter['partition']}/{letter['offset']}/{letter['row']}"
                ), record.key
                found[(letter["partition"], letter["offset"])] = letter
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--good", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-bad-")))
        bootstrap = options.bootstrap_servers or stack.enter_context(EmbeddedKafka()).bootstrap_servers
        lake, topic = out / "lake", f"bad-{time.time_ns()}"
        traffic.new_topic(bootstrap, topic)
        table = traffic.table(options.good, options.seed)
        values = [value for _, value in traffic.messages(table)]
        bad = kinds(json.loads(values[0]), table)
        messages: list[tuple[Bad | None, bytes | None]] = [(None, value) for value in values]
        # Several good records and one bad one in an Arrow batch: only the bad row is rejected.
        batch = table.slice(0, 20).set_column(
            1, "account_id", pa.array(["" if i == 7 else f"row-{i}" for i in range(20)])
        )
        in_batch = Bad("one row of an Arrow batch", encode_arrow(batch), frozenset({"empty_id"}))
        messages += [(each, each.value) for each in [*bad, in_batch]]
        np.random.default_rng(options.seed).shuffle(messages)  # type: ignore[arg-type]
        places = send(bootstrap, topic, messages)
        stage.run_worker(lake, bootstrap, topic, out / "worker.log")
        letters = read_letters(bootstrap, f"{topic}-dead-letters")
        connection = connect(lake)
        columns = 'topic, partition, "offset", row, reason, detail'
        rows = {(r[1], r[2]): r for r in connection.execute(f"select {columns} from dead_letters").fetchall()}
        landed = connection.execute("select count(*) from records").fetchone()[0]
    failures, shown = 0, []
    for place, each in sorted(places.items(), key=lambda item: item[1].name):
        letter, row = letters.get(place), rows.get(place)
        good = (
            letter is not None
            and row is not None
            and letter["topic"] == row[0] == topic
            and letter["reason"] == row[4]
            and letter["row"] == row[3] == (7 if each is in_batch else 0)
            and row[4] in each.reasons
            and bool(row[5])
        )
        failures += not good
        said = "not in the table" if row is None else row[4]
        shown.append(
            {
                "kind": each.name,
                "partition": place[0],
                "offset": place[1],
                "reason": said,
                "": "ok" if good else f"WRONG, letter {letter and letter['reason']}",
            }
        )
    stage.table(shown)
    expected = options.good + 19
    print(
        f"{len(places)} kinds of bad input, {len(rows)} dead letters in the table, {len(letters)} in the topic; {landed:,} of {expected:,} good records landed"
    )
    return 0 if not failures and landed == expected and len(rows) == len(letters) == len(places) else 1


if __name__ == "__main__":
    sys.exit(main())
