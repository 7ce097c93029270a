-- name: records
-- question: What was asked of the service: by whom, when, with which settings, from where?
-- grain: one row per accepted record, with its position (topic id, partition, offset, row in the message).
--   `embedding` is the grid vector: d signed bytes. Hashes were re-mixed at the edge; `hash_hex` writes them.
-- reads: raw.record_rows
create view records as
select
  account_id,
  event_time,
  request_id,
  * exclude (
    account_id, event_time, request_id, embedding, kind, reason, detail, raw, raw_bytes,
    topic_id, topic, "partition", "offset", "row"
  ),
  topic_id,
  topic,
  "partition",
  "offset",
  "row",
  embedding
from raw.record_rows
where kind = 'record';
