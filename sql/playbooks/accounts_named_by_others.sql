-- name: accounts_named_by_others
-- question: Which accounts match indicators that others shared, and what do we say of them ourselves?
-- topic: indicators
-- parameters:
--   valid_at timestamp = null: leave out indicators that are not valid at this time; null: at the newest scoring, and all while there is none
--   min_confidence integer = 0: leave out indicators with less
-- grain: one row per account and indicator, the most certain first
-- reads: raw.indicator_marks, account_scores, standing_verdicts, records
-- detects: accounts that an imported bundle names by a hashed identifier
-- does not detect: what landed after the import: import the bundle again
-- false positives: a shared network or program is not an account; indicators are other people's findings, and no score is moved by them
-- next step: `distillwatch case` for the account; ask the sender what the indicator rests on
with judged_at as (
  select coalesce($valid_at::timestamp, (select max(as_of) from account_scores)) as moment
),

marks as (
  select distinct account_id, kind, indicator_id, sender, tlp, campaign, confidence, valid_from, valid_until
  from raw.indicator_marks
),

seen as (
  select account_id, count(*) as records
  from records
  where account_id in (select marks.account_id from marks)
  group by account_id
)

select
  marks.account_id,
  marks.kind,
  marks.confidence,
  marks.sender,
  marks.tlp,
  marks.campaign,
  marks.valid_from,
  marks.valid_until,
  seen.records,
  account_scores.score,
  account_scores.p_value,
  account_scores.decision,
  standing_verdicts.verdict,
  marks.indicator_id
from marks
cross join judged_at
join seen on seen.account_id = marks.account_id
left join account_scores on account_scores.account_id = marks.account_id
left join standing_verdicts
  on standing_verdicts.subject_id = marks.account_id and standing_verdicts.subject_kind = 'account'
where
  coalesce(marks.confidence, 0) >= $min_confidence
  and (
    judged_at.moment is null
    or (marks.valid_from <= judged_at.moment and (marks.valid_until is null or judged_at.moment < marks.valid_until))
  )
order by marks.confidence desc nulls last, marks.account_id, marks.kind, marks.indicator_id;
