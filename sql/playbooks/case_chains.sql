-- name: case_chains
-- question: Up to where does what a case was read from reach, chain by chain?
-- topic: case
-- parameters: none
-- grain: one row per topic and partition, or file
-- reads: segments
-- detects: which state of the lake was read: the same heads and manifest give the same answers
-- does not detect: records that are not landed yet
-- false positives: none
-- instead: `data_freshness_and_gaps` for whether anything is late or missing
-- next step: `data_freshness_and_gaps` for how old that is
select
  topic_id,
  any_value(topic) as topic,
  "partition",
  max(last_offset) + 1 as head,
  sum(records)::bigint as records,
  sum(forgotten)::bigint as forgotten,
  sum(lost)::bigint as lost
from segments
group by topic_id, "partition"
order by topic_id, "partition";
