-- name: dead_letters_by_reason
-- question: What could not be accepted, why, and where is an example?
-- topic: data
-- parameters:
--   topic text = null: only this topic or file
-- grain: one row per topic and reason, the most frequent first
-- reads: dead_letters
-- detects: broken producers, changed formats, another embedding model, clocks that run ahead
-- does not detect: who sent it: a dead letter has no account that could be trusted. Records that Kafka no longer had
-- false positives: none in the usual sense; a handful is normal after a producer's release
-- next step: the example itself: select detail, raw from dead_letters where topic = ... and "partition" = ... and "offset" = ...
select
  topic,
  reason,
  count(*) as dead_letters,
  count(distinct "partition") as partitions,
  sum(raw_bytes)::bigint as raw_bytes,
  arg_min(detail, ("partition", "offset", "row")) as first_detail,
  arg_min("partition", ("partition", "offset", "row")) as first_partition,
  arg_min("offset", ("partition", "offset", "row")) as first_offset,
  max("offset") as highest_offset
from dead_letters
where $topic::varchar is null or topic = $topic
group by topic, reason
order by dead_letters desc, topic, reason;
