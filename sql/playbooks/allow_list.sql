-- name: allow_list
-- question: Who is or was allowed, until when, and on whose word?
-- topic: queue
-- parameters:
--   limit_rows integer = 1000: rows to show
-- grain: one row per verdict `allowed`, those that stand first, the next to expire before the others
-- reads: verdicts, standing_verdicts, raw.account_scores
-- detects: entries that are about to expire, that were withdrawn or overruled, and what the account is scored today
-- does not detect: whether the reason still holds
-- false positives: none: this is the record of decisions
-- next step: `account_summary` of an entry; `verdict_history` for what was decided before
with standing as (
  select distinct verdict_id from standing_verdicts where verdict = 'allowed'
),

newest as (
  select account_id, decision, score, records
  from raw.account_scores
  where as_of = (select max(as_of) from raw.account_scores)
)

select
  verdicts.subject_kind,
  verdicts.subject_id,
  standing.verdict_id is not null as is_standing,
  verdicts.is_withdrawn,
  verdicts.expires_at,
  verdicts.reason,
  verdicts.owner,
  verdicts.decided_at,
  verdicts.case_id,
  newest.decision,
  newest.score,
  newest.records,
  verdicts.verdict_id
from verdicts
left join standing on standing.verdict_id = verdicts.verdict_id
left join newest on verdicts.subject_kind = 'account' and newest.account_id = verdicts.subject_id
where verdicts.verdict = 'allowed'
order by is_standing desc, verdicts.expires_at, verdicts.subject_id, verdicts.decided_at desc
limit $limit_rows;
