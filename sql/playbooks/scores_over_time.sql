-- name: scores_over_time
-- question: How did the score of this account develop with its records?
-- topic: account
-- parameters:
--   account_id text: the account
-- grain: one row per scoring that the lake still has, alert or look of the worker, oldest first
-- reads: raw.account_scores, alerts
-- detects: at how many records it was first noticed, and whether more records made it more or less suspicious
-- does not detect: scores between: a scoring replaces the one before it, only its alerts stay
-- false positives: scores of few records swing; trust what holds over several looks
-- instead: `case_scores` for a cluster
-- next step: `what_changed` around a jump
with every_score as (
  select as_of, records, score, p_value, decision, 'scoring' as source, null::varchar as alert_id, null::bigint as look
  from raw.account_scores
  where account_id = $account_id
  union all by name
  select
    as_of,
    (evidence ->> 'records')::bigint as records,
    score,
    p_value,
    'alert' as decision,
    case when is_live then 'live look' else 'alert' end as source,
    alert_id,
    (provenance ->> 'look')::bigint as look
  from alerts
  where subject_kind = 'account' and subject_id = $account_id
)

select *
from every_score
order by as_of, records, source, alert_id;
