-- name: verdicts
-- question: What have people decided about accounts and clusters?
-- grain: one row per verdict; `is_newest` marks the last one on its subject. Whether it has expired is for the
--   reader to compare: a view asks no clock.
-- reads: raw.verdicts
create view verdicts as
select
  *,
  row_number() over (partition by subject_kind, subject_id order by decided_at desc, verdict_id) = 1 as is_newest
from raw.verdicts;
