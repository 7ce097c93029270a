-- name: data_freshness_and_gaps
-- question: Up to when has each partition landed, and is anything missing?
-- topic: data
-- parameters:
--   as_of timestamp = null: measure ages against this; by default against the newest time in the lake
-- grain: one row per topic and partition, those that need attention first
-- reads: segments, raw.lake
-- detects: partitions that lag, ranges that the log no longer had (`lost`), offsets between two segments that nobody
--   landed, records that no roll-up has summed yet, forgotten and rejected records
-- does not detect: a producer that is silent (`silent_hours`); partitions that never landed anything
-- false positives: a partition with little traffic looks old; a replayed file has no append time
-- instead: `case_chains` for the heads alone, as a case file states them
-- next step: `silent_hours`; `dead_letters_by_reason`; `distillwatch verify`
with ranges as (
  select
    *,
    first_offset - 1 - lag(last_offset) over (partition by topic_id, "partition" order by first_offset) as skipped
  from segments
),

chains as (
  select
    topic_id,
    max(topic) as topic,
    "partition",
    count(*) as segments,
    count(*) filter (where run_id is null) as segments_not_compacted,
    sum(records)::bigint as records,
    sum(rejected)::bigint as rejected,
    sum(forgotten)::bigint as forgotten,
    sum(lost)::bigint as lost_ranges,
    coalesce(sum(skipped) filter (where skipped > 0), 0)::bigint as offsets_missing,
    max(chain_records_behind) as records_behind,
    min(first_offset) as first_offset,
    max(last_offset) as last_offset,
    max(max_event_time) as newest_event_time,
    max(last_append_time) as newest_append_time,
    max(created_at) as landed_at
  from ranges
  group by topic_id, "partition"
),

measured as (
  select
    chains.*,
    coalesce($as_of, max(greatest(newest_event_time, newest_append_time)) over ()) as measured_at
  from chains
)

select
  measured.*,
  epoch(measured.measured_at - measured.newest_event_time) / 3600 as event_hours_old,
  epoch(measured.landed_at - measured.newest_append_time) as seconds_from_append_to_landing,
  measured.lost_ranges > 0 or measured.offsets_missing > 0 as is_incomplete,
  lake.manifest
from measured
cross join raw.lake as lake
order by is_incomplete desc, records_behind desc, newest_event_time nulls first, topic_id, "partition";
