-- name: case_provenance
-- question: In which landed segments do the records of a case lie, at which offsets, with which digests?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per segment or absorbed range that holds records of the subject, by chain and offset
-- reads: subject_accounts, records, segments, raw.lake
-- detects: what has to be kept so that the case can be derived again
-- does not detect: whether it is unaltered: `distillwatch verify` does
-- false positives: none
-- instead: `provenance_of_an_account` for one account: it gives times and the writer's version too
-- next step: `distillwatch verify --lake DIR` holds every file against these digests
with mine as (
  select topic_id, "partition", "offset"
  from records
  where account_id in (select members.account_id from subject_accounts($subject) as members)
)

select
  segments.topic_id,
  segments.topic,
  segments."partition",
  segments.first_offset,
  segments.last_offset,
  count(*) as records_of_subject,
  min(mine."offset") as first_of_subject,
  max(mine."offset") as last_of_subject,
  segments.records,
  segments.positions_digest,
  segments.contents_digest,
  segments.parameters,
  segments.code,
  segments.run_id,
  segments.file,
  lake.manifest,
  lake.parameters as lake_parameters,
  lake.embedding_model,
  lake.dimension,
  lake.window_seconds,
  lake.pseudonym_fingerprint
from mine
join segments
  on segments.topic_id = mine.topic_id
  and segments."partition" = mine."partition"
  and mine."offset" between segments.first_offset and segments.last_offset
cross join raw.lake as lake
group by all
order by segments.topic_id, segments."partition", segments.first_offset;
