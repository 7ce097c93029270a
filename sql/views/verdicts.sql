-- name: verdicts
-- question: What have people decided about accounts and clusters?
-- grain: one row per verdict, withdrawals included (`withdraws` names what they take back). `is_newest` marks the last
--   word on a subject that was not withdrawn. Whether it has expired is for the reader to compare: a view asks no
--   clock; `standing_verdicts` compares with the newest scoring.
-- reads: raw.verdicts
create view verdicts as
with every_row as (
  select distinct * from raw.verdicts
),

marked as (
  select
    v.*,
    w.withdraws is not null as is_withdrawn,
    v.withdraws is null and w.withdraws is null as is_word
  from every_row as v
  left join (select distinct withdraws from every_row where withdraws is not null) as w on w.withdraws = v.verdict_id
)

select
  * exclude (is_word),
  is_word and row_number() over (
    partition by subject_kind, subject_id, is_word order by decided_at desc, verdict_id
  ) = 1 as is_newest
from marked;
