-- name: case_prompts
-- question: Which records does a case rest on, with their vectors?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
--   newest integer = 2000: records of all its accounts together, the newest
-- grain: one row per record, in order of time
-- reads: subject_accounts, records
-- detects: nothing by itself: a projection of the vectors shows where the prompts lie, prefixes show how the score grew
-- does not detect: what was written: no text is landed
-- false positives: content is not guilt: tutoring, coding tools and evaluations work honestly on what is harvested
-- next step: `case_records` for the records that an alert names
select *
from (
  select *
  from records
  where account_id in (select members.account_id from subject_accounts($subject) as members)
  order by event_time desc, request_id desc, topic_id, "partition", "offset", "row"
  limit $newest
)
order by event_time, request_id, topic_id, "partition", "offset", "row";
