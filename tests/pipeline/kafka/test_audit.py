"""Kafka's side of `verify`: a lost, doubled, invented or changed record is found and named, on a real log."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.clock import SystemClock
from pipeline.kafka import client, topics
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow, encode_json
from pipeline.replay import replay
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.verification import KafkaSide, verify

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def topic(kafka):
    """One partition: 200 JSON messages, two Arrow messages of 50, and two bad messages between them."""
    name = f"audit-{uuid.uuid4().hex[:8]}"
    like = topics.defined()[0]
    ids = topics.apply(kafka.bootstrap_servers, topics=[replace(like, name=name, partitions=1)])
    world = build_world(WorldSettings(records=300, accounts=6, seed=3, attack_share=0.2, days=1.0))
    table = pa.concat_tables(list(Traffic(world, datetime(2026, 3, 1, tzinfo=UTC))))
    values = encode_json(table.slice(0, 200))
    values[100:100] = [b"{broken", encode_arrow(table.slice(200, 50))]
    values += [encode_arrow(table.slice(250)), b'{"request_id": "r"}']
    producer = client.producer(kafka.bootstrap_servers)
    for value in values:
        producer.send(name, value=value)
    producer.flush()
    producer.close()
    return name, ids[name], len(values)


@pytest.fixture
def landed(kafka, topic, tmp_path):
    name, topic_id, count = topic
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    engine = engine_for(lake, "numpy")
    decoder = RecordDecoder(lake.config.space)
    lake.begin(topic_id, 0, topic=name, start=0, cluster_id="c", clock=CLOCK)
    settings = LandingSettings(segment_records=120)
    lander = PartitionLander(
        lake,
        engine,
        topic=name,
        topic_id=topic_id,
        partition=0,
        cluster_id="c",
        settings=settings,
        clock=CLOCK,
    )
    for fetched in client.read_range(kafka.bootstrap_servers, name, 0, 0, count, max_poll_records=40):
        decoded = decoder.decode_messages(
            [r.value for r in fetched],
            topic_id=topic_id,
            topic=name,
            partition=0,
            offsets=np.array([r.offset for r in fetched]),
            append_times=np.array([r.timestamp for r in fetched]),
        )
        lander.accept(decoded, lander.next_offset, fetched[-1].offset + 1)
        if lander.due():
            lander.land()
    lander.land()
    lander.roll_up()
    return lake, engine, KafkaSide(kafka.bootstrap_servers, decoder)


def test_a_lake_that_holds_what_kafka_holds_has_no_difference(landed):
    lake, engine, side = landed
    result = verify(lake, engine, sample=None, kafka=side)
    assert result.holds
    (audit,) = result.audits
    assert (audit.compared, audit.rejected, audit.lost, audit.twice) == (300, 2, 0, 0)


def test_the_same_after_a_replay_that_also_recomputed_from_kafka(landed):
    lake, engine, side = landed
    done = replay(lake, engine, clock=CLOCK, kafka=side, score=False)
    assert done.from_kafka
    result = verify(lake, engine, sample=None, kafka=side)
    assert result.holds
    assert result.audits[0].compared == 300


def rewrite(lake, change):
    path = lake.snapshot().segment_files()[0]
    table = pq.read_table(path, partitioning=None)
    pq.write_table(change(table).replace_schema_metadata(pq.read_schema(path).metadata), path)


def without_a_record(table):
    return pa.concat_tables([table.slice(0, 7), table.slice(8)])


def with_one_twice(table):
    return pa.concat_tables([table.slice(0, 7), table.slice(6)])


def with_another_value(table):
    changed = table.column("output_tokens").to_pylist()
    changed[4] = (changed[4] or 0) + 1
    return table.set_column(
        table.schema.get_field_index("output_tokens"), "output_tokens", pa.array(changed, pa.int64())
    )


def with_another_reason(table):
    reasons = [
        "zero_vector" if reason == "not_json" else reason for reason in table.column("reason").to_pylist()
    ]
    return table.set_column(table.schema.get_field_index("reason"), "reason", pa.array(reasons, pa.string()))


@pytest.mark.parametrize(
    ("change", "figure", "check"),
    [
        (without_a_record, "lost", "lost"),
        (with_one_twice, "twice", "twice"),
        (with_another_value, "different", "other_values"),
        (with_another_reason, "different", "other_values"),
    ],
)
def test_what_was_done_to_a_segment_is_found_and_named(landed, change, figure, check):
    lake, engine, side = landed
    rewrite(lake, change)
    result = verify(lake, engine, sample=1, kafka=side)
    assert not result.holds
    assert getattr(result.audits[0], figure) == 1
    (finding,) = [f for f in result.findings if f.check == check and f.where.startswith("offset")]
    assert "record" in finding.where
