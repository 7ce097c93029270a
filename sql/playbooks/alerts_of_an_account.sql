-- name: alerts_of_an_account
-- question: Which alerts were ever raised on this account or on a cluster with it?
-- topic: queue
-- parameters:
--   account_id text: the account
-- grain: one row per alert, the newest first
-- reads: alerts
-- detects: when it was first noticed, by which detector, alone or in company, and what to re-derive the alert from
-- does not detect: scores below the list (`scores_over_time`)
-- false positives: see the verdicts: `verdict_history`
-- instead: `case_alerts` for a cluster, or for the whole evidence of each alert
-- next step: `alert_evidence` of an alert; `distillwatch verify --alert ID` derives it again from the records
select
  alert_id,
  subject_kind,
  subject_id,
  len(members) as members,
  detector,
  score,
  p_value,
  fdr,
  is_live,
  (evidence ->> 'records')::bigint as records,
  evidence ->> '$.sentences[0]' as first_sentence,
  first_seen,
  last_seen,
  as_of,
  provenance ->> 'code' as code,
  (provenance ->> 'manifest')::bigint as manifest,
  (provenance ->> 'look')::bigint as look
from alerts
where subject_id = $account_id or list_contains(members, $account_id)
order by as_of desc, is_live, alert_id;
