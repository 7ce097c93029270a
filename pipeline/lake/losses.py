"""Going on after a loss: a person declares which offsets are gone, and the chain says so for ever."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from pipeline.errors import ChainMoved, LakeError
from pipeline.lake.paths import Chain
from pipeline.lake.segments import Segment, describe_segment, put_segment
from pipeline.records.schema import segment_schema

if TYPE_CHECKING:
    from pipeline.lake.lake import Lake


def declare_lost(
    lake: Lake, topic_id: str, partition: int, next_offset: int, *, by: str, why: str
) -> Segment:
    """Land an empty segment from the head to before ``next_offset`` that names the range as lost.

    Only for offsets that the log no longer has (`pipeline.kafka.losses.check_lost`): `verify` reports the range from then
    on, and as an error every record of it that Kafka has after all.

    Raises
    ------
    LakeError
        The chain never began, or the head has passed ``next_offset``.
    ChainMoved
        A worker landed from the same offset meanwhile.
    """
    chain = Chain(topic_id, partition)
    origin, head = lake.origin(topic_id, partition), lake.head(topic_id, partition)
    if origin is None or head is None or next_offset <= head:
        msg = f"chain {chain.key}: nothing before offset {next_offset} is missing (head {head}); give the log's start"
        raise LakeError(msg)
    table = segment_schema(lake.config.space).empty_table()
    segment = describe_segment(
        table,
        chain,
        topic=origin.topic,
        cluster_id=origin.cluster_id,
        first_offset=head,
        last_offset=next_offset - 1,
        lake_fingerprint=lake.fingerprint,
        parameters=lake.config.parameters,
        writer=uuid.uuid4().hex,
        created_at=lake.clock.now(),
        lost=((head, next_offset - 1, f"{by}: {why}"),),
    )
    won = put_segment(lake.store, table, segment)
    if won and lake.manifest().absorbed.get(chain.key, head) > head:
        lake.store.delete(segment.key)
        won = False
    if not won:
        msg = f"chain {chain.key}: another writer landed from offset {head}; look at the head again"
        raise ChainMoved(msg)
    return segment
