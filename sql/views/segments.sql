-- name: segments
-- question: What has landed from where, and how far are windows behind records?
-- grain: one row per segment that is not compacted yet, and one per range of a chain that a run has absorbed
--   (`run_id` is set, digests of contents and writer are those of the run's files). Ranges of one chain join without
--   a gap; `lost` counts ranges inside that the log no longer had.
--   `windows_landed` is false while a segment waits for its roll-up: its records are missing from `windows`, and
--   `chain_records_behind` says how many of its partition are.
-- reads: raw.segments
create view segments as
select
  *,
  coalesce(sum(records) filter (where not windows_landed) over chain, 0)::bigint as chain_records_behind
from raw.segments
window chain as (partition by topic_id, "partition");
