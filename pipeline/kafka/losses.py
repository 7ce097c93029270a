"""What a person may declare lost: exactly what the log does not have any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.kafka import client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.lake import Lake


def check_lost(
    lake: Lake,
    bootstrap_servers: str,
    topic: str,
    partition: int,
    next_offset: int,
    *,
    security: Mapping[str, Any] | None = None,
    force: bool = False,
) -> str:
    """Hold a declaration against Kafka: everything before ``next_offset`` has to be gone, and nothing after it.

    Parameters
    ----------
    force
        Take an offset that is not the log's start; `verify` then finds what Kafka still has before it.

    Returns
    -------
    str
        Id of the topic whose chain goes on.

    Raises
    ------
    UsageError
        Kafka has another topic of that name, no such partition, or begins at another offset.
    """
    landed = lake.topic_ids(topic)
    if not landed:
        msg = f"{lake.root} holds nothing of a topic {topic!r}; the view `segments` lists what it holds"
        raise UsageError(msg)
    with client.connected(bootstrap_servers, security) as admin:
        topic_id = client.topic_id(admin, topic)
        if topic_id not in landed:
            msg = (
                f"topic {topic} at {bootstrap_servers} has id {topic_id}, {lake.root} holds records of id {landed[-1]}: "
                "it was recreated, or this is another cluster. Name the cluster whose records were landed"
            )
            raise UsageError(msg)
        ranges = client.log_ranges(admin, topic)
    if partition not in ranges:
        msg = f"topic {topic} at {bootstrap_servers} has partitions 0 to {max(ranges)}, not {partition}"
        raise UsageError(msg)
    start, end = ranges[partition]
    if next_offset != start and not force:
        wrong = (
            f"Kafka still has offsets {start} to {min(next_offset, end) - 1}"
            if next_offset > start
            else f"offsets {next_offset} to {start - 1} are gone as well"
        )
        msg = (
            f"topic {topic}, partition {partition}: {wrong}; its log starts at {start}, so give --next-offset {start} "
            "(or --force, and `verify` will name every record that Kafka has and the lake does not)"
        )
        raise UsageError(msg)
    return topic_id
