-- name: provenance_of_an_account
-- question: From which landed files do the records of this account come, and how can those be checked?
-- topic: account
-- parameters:
--   account_id text: the account
-- grain: one row per segment, or range that a run absorbed, with records of the account, in order of the log
-- reads: records, segments, raw.lake
-- detects: topic, partition and offsets of every record, digests of positions and contents, versions of writer and
--   parameters: what a third party needs to check the evidence
-- does not detect: records that are no longer in the lake
-- false positives: none: this is bookkeeping
-- instead: `case_provenance` for a cluster
-- next step: `distillwatch verify --lake DIR` compares the digests with the files
with positions as (
  select topic_id, topic, "partition", "offset", event_time from records where account_id = $account_id
)

select
  segments.topic_id,
  positions.topic,
  segments."partition",
  segments.first_offset,
  segments.last_offset,
  count(*) as records_of_account,
  min(positions."offset") as first_offset_of_account,
  max(positions."offset") as last_offset_of_account,
  min(positions.event_time) as first_event_time,
  max(positions.event_time) as last_event_time,
  segments.records as records_in_all,
  segments.positions_digest,
  segments.contents_digest,
  segments.file,
  segments.run_id,
  segments.writer,
  segments.code,
  segments.created_at,
  lake.parameters,
  lake.embedding_model,
  lake.manifest
from positions
join segments
  on segments.topic_id = positions.topic_id
  and segments."partition" = positions."partition"
  and positions."offset" between segments.first_offset and segments.last_offset
cross join raw.lake as lake
group by all
order by segments.topic_id, segments."partition", segments.first_offset;
