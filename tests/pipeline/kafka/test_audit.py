"""Kafka's side of `verify`: a lost, doubled, invented or changed record is found and named, on a real log."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import TopicPartition

from pipeline.assembly import engine_for, open_or_create_lake
from pipeline.cli.main import run
from pipeline.clock import SystemClock
from pipeline.errors import LostRecords, UsageError
from pipeline.kafka import client, topics
from pipeline.kafka.audit import _Comparison, audit_chain
from pipeline.kafka.losses import check_lost
from pipeline.lake.compaction import compact
from pipeline.lake.losses import declare_lost
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow, encode_json
from pipeline.replay import replay
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, build_world
from pipeline.verification import KafkaSide, verify

CLOCK = SystemClock()


def produce(kafka, partitions=1):
    """In partition 0: 200 JSON messages, two Arrow messages of 50, and two bad messages between them."""
    name = f"audit-{uuid.uuid4().hex[:8]}"
    like = topics.defined()[0]
    ids = topics.apply(kafka.bootstrap_servers, topics=[replace(like, name=name, partitions=partitions)])
    world = build_world(WorldSettings(records=300, accounts=6, seed=3, attack_share=0.2, days=1.0))
    table = pa.concat_tables(list(Traffic(world, datetime(2026, 3, 1, tzinfo=UTC))))
    values = encode_json(table.slice(0, 200))
    values[100:100] = [b"{broken", encode_arrow(table.slice(200, 50))]
    values += [encode_arrow(table.slice(250)), b'{"request_id": "r"}']
    send(kafka, name, values)
    return name, ids[name], len(values)


def send(kafka, name, values, partition=0):
    producer = client.producer(kafka.bootstrap_servers)
    for value in values:
        producer.send(name, value=value, partition=partition)
    producer.flush()
    producer.close()


def delete_below(kafka, name, offset, partition=0):
    """What retention does: move the start of the log."""
    with client.connected(kafka.bootstrap_servers) as admin:
        admin.delete_records({TopicPartition(name, partition): offset})
        assert client.log_ranges(admin, name)[partition][0] == offset


@pytest.fixture(scope="module")
def topic(kafka):
    return produce(kafka)


def land(kafka, lake, name, topic_id, stop):
    """Land partition 0 from the lake's head to before ``stop``."""
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
    for fetched in client.read_range(
        kafka.bootstrap_servers, name, 0, lander.next_offset, stop, max_poll_records=40
    ):
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


@pytest.fixture
def landed(kafka, topic, tmp_path):
    name, topic_id, count = topic
    return land(kafka, open_or_create_lake(tmp_path / "lake", clock=CLOCK), name, topic_id, count)


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


def named(result, severity="error"):
    return {(f.check, f.where) for f in result.findings if f.severity == severity}


def test_what_kafka_deleted_before_it_was_landed_is_lost(kafka, tmp_path):
    name, topic_id, _ = produce(kafka)
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    lake, engine, side = land(kafka, lake, name, topic_id, 100)
    delete_below(kafka, name, 60)
    result = verify(lake, engine, kafka=side)
    assert result.holds  # old and landed: that is what retention is for
    (audit,) = result.audits
    assert (audit.expired, audit.compared, audit.not_yet_landed) == (60, 40, 104)
    delete_below(kafka, name, 150)
    result = verify(lake, engine, kafka=side)
    assert (result.holds, result.lost) == (False, 50)
    assert named(result) == {("never_landed", "offsets 100 to 149")}
    # A worker may have landed since the snapshot, and only then did Kafka delete.
    audit, findings = audit_chain(
        lake.snapshot(),
        *lake.snapshot().tails.values(),
        side.decoder,
        side.bootstrap_servers,
        lambda: (150, 204),
        head=lambda: 150,
    )
    assert (audit.lost, findings) == (0, [])


def test_partitions_without_a_chain_are_seen(kafka, tmp_path):
    name, topic_id, count = produce(kafka, partitions=3)
    send(kafka, name, [b"x"] * 10, partition=1)
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    lake, engine, side = land(kafka, lake, name, topic_id, count)
    result = verify(lake, engine, kafka=side)
    assert result.holds
    assert [(a.partition, a.not_yet_landed) for a in result.audits] == [(0, 0), (1, 10)]
    delete_below(kafka, name, 4, partition=1)
    result = verify(lake, engine, kafka=side)
    assert (result.holds, result.lost) == (False, 4)
    assert named(result) == {("never_landed", "offsets 0 to 3")}
    assert result.audits[1].not_yet_landed == 6


def test_another_cluster_is_an_error_and_a_topic_that_was_replaced_a_note(kafka, tmp_path):
    name, topic_id, count = produce(kafka)
    other = "AAAAAAAAAAAAAAAAAAAAAA"
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    lake.begin(other, 0, topic=name, start=0, cluster_id="c", clock=CLOCK)
    engine = engine_for(lake, "numpy")
    side = KafkaSide(kafka.bootstrap_servers, RecordDecoder(lake.config.space))
    result = verify(lake, engine, kafka=side)
    assert not result.holds
    assert named(result) == {("other_topic", f"topic {name}")}
    land(kafka, lake, name, topic_id, count)
    result = verify(lake, engine, kafka=side)
    assert result.holds
    assert named(result, "note") == {("other_topic", f"topic {name}")}


@pytest.mark.parametrize("absorbed", [False, True])
def test_a_declaration_excuses_nothing_that_kafka_still_has(kafka, tmp_path, absorbed):
    name, topic_id, _ = produce(kafka)
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    lake, engine, side = land(kafka, lake, name, topic_id, 90)
    declare_lost(lake, topic_id, 0, 95, by="operator", why="typing error")
    if absorbed:
        compact(lake, engine)
    result = verify(lake, engine, kafka=side)
    assert (result.holds, result.lost) == (False, 5)
    assert named(result) == {("not_lost", f"offset {offset}, record 0") for offset in range(90, 95)}
    delete_below(kafka, name, 95)
    assert verify(lake, engine, kafka=side).holds


def test_only_what_kafka_has_deleted_can_be_declared_lost(kafka, tmp_path, capsys):
    name, topic_id, _ = produce(kafka)
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    lake, engine, side = land(kafka, lake, name, topic_id, 90)

    def declare(next_offset, *more, partition=0):
        command = ["declare-lost", "--lake", str(lake.root), "--topic", name, "--partition", str(partition)]
        command += ["--next-offset", str(next_offset), "--by", "operator", "--why", "retention", *more]
        code = run([*command, "--bootstrap-servers", kafka.bootstrap_servers])
        return code, " ".join(capsys.readouterr().err.split())

    code, said = declare(95)
    assert code == 2
    assert "Kafka still has offsets 0 to 94; its log starts at 0" in said
    delete_below(kafka, name, 120)
    code, said = declare(110)
    assert code == 2
    assert "offsets 110 to 119 are gone as well; its log starts at 120, so give --next-offset 120" in said
    code, said = declare(120, partition=7)
    assert code == 2
    assert "has partitions 0 to 0, not 7" in said
    assert lake.head(topic_id, 0) == 90
    assert declare(120)[0] == 0
    assert lake.head(topic_id, 0) == 120
    result = verify(lake, engine, kafka=side)
    assert result.holds
    assert named(result, "note") == {("declared_lost", "offsets 90 to 119")}
    assert declare(123, "--force")[0] == 0
    assert named(verify(lake, engine, kafka=side)) == {
        ("not_lost", f"offset {offset}, record 0") for offset in range(120, 123)
    }


def test_a_loss_is_declared_for_the_cluster_that_was_landed(kafka, tmp_path):
    name, _, _ = produce(kafka)
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    with pytest.raises(UsageError, match="holds nothing of a topic"):
        check_lost(lake, kafka.bootstrap_servers, name, 0, 5)
    lake.begin("AAAAAAAAAAAAAAAAAAAAAA", 0, topic=name, start=0, cluster_id="c", clock=CLOCK)
    with pytest.raises(UsageError, match="recreated, or this is another cluster"):
        check_lost(lake, kafka.bootstrap_servers, name, 0, 5, force=True)


def test_retention_goes_on_while_it_reads(kafka, tmp_path, monkeypatch):
    name, topic_id, count = produce(kafka)
    lake = open_or_create_lake(tmp_path / "lake", clock=CLOCK)
    lake, engine, side = land(kafka, lake, name, topic_id, count)
    monkeypatch.setattr("pipeline.kafka.audit.CHUNK_OFFSETS", 10)
    read_range, reads = client.read_range, itertools.count()

    def read(*args, **options):
        read = next(reads)
        if read == 0:  # retention strikes before the first read begins
            delete_below(kafka, name, 30)
        for fetched in read_range(*args, **options):
            if read == 1:  # and while the second one is under way
                yield fetched[:10]
                delete_below(kafka, name, 120)
                msg = "left Kafka while it was being read"
                raise LostRecords(msg)
            yield fetched

    monkeypatch.setattr(client, "read_range", read)
    result = verify(lake, engine, kafka=side)
    assert result.holds
    (audit,) = result.audits
    assert audit.lost == 0
    # 10 offsets were compared before they went; of the rest, one message is an Arrow batch of 50.
    assert audit.expired == 110
    assert audit.compared + audit.rejected == 10 + (count - 120) + 49


@pytest.mark.parametrize(("piece_bytes", "piece_rows"), [(20_000, 10**6), (10**9, 60)])
def test_what_is_held_at_a_time_is_bounded(landed, monkeypatch, piece_bytes, piece_rows):
    lake, engine, side = landed
    monkeypatch.setattr("pipeline.kafka.audit.PIECE_BYTES", piece_bytes)
    monkeypatch.setattr("pipeline.kafka.audit.PIECE_ROWS", piece_rows)
    monkeypatch.setattr("pipeline.kafka.audit.CHUNK_BYTES", 30_000)
    pieces, compared = [], []
    decode, compare = RecordDecoder.decode_messages, _Comparison.compare

    def watched_decode(self, values, **options):
        decoded = decode(self, values, **options)
        pieces.append((len(values), sum(map(len, values)), decoded.records.num_rows))
        return decoded

    def watched_compare(self, theirs, ours):
        compared.append(theirs.records.nbytes)
        return compare(self, theirs, ours)

    monkeypatch.setattr(RecordDecoder, "decode_messages", watched_decode)
    monkeypatch.setattr(_Comparison, "compare", watched_compare)
    result = verify(lake, engine, kafka=side)
    assert result.holds
    assert result.audits[0].compared == 300
    assert all(n == 1 or (size <= piece_bytes and rows <= piece_rows) for n, size, rows in pieces)
    assert len(compared) > 3
