-- name: case_queue
-- question: Which accounts and clusters should be looked at first?
-- topic: queue
-- cost: every account's scores
-- parameters:
--   subject_kind text = null: account or cluster; both by default
--   decision text = null: only alert, allowed, clear or cannot_tell
--   benign_class text = null: only accounts of this class
--   detector text = null: only what this detector judged
--   verdict text = null: only with this standing verdict; none: only without any
--   min_records integer = 0: records the subject must have
--   search text = null: part of the id of a subject or of its cluster
--   limit_rows integer = 100: rows to show
--   skip_rows integer = 0: rows to leave out before them
-- grain: one row per account or cluster that was scored or alerted on, the smallest p-value first; `matching` is how many
--   there are in all
-- reads: account_scores, cluster_scores, clusters, alerts, standing_verdicts
-- detects: whatever scoring and the worker found, with what people have decided since
-- does not detect: accounts with too few records for a score: they stand at the end as cannot_tell
-- false positives: by design about the list's false discovery rate of its alerts are honest accounts; more in a small lake
-- next step: `account_summary` and `why_flagged` of an account, `cluster_summary` and `cluster_graph` of a cluster
with judged as (
  select
    'account' as subject_kind,
    account_id as subject_id,
    1::bigint as members,
    records,
    score,
    p_value,
    q_value,
    decision,
    benign_class,
    detector,
    first_seen,
    last_seen,
    as_of
  from account_scores
  union all by name
  select
    'cluster' as subject_kind,
    cluster_id as subject_id,
    members,
    records,
    score,
    p_value,
    q_value,
    decision,
    detector,
    first_seen,
    last_seen,
    as_of
  from cluster_scores
),

newest_alerts as (
  select
    subject_kind,
    subject_id,
    detector,
    alert_id,
    is_live,
    len(members) as members,
    (evidence ->> 'records')::bigint as records,
    score,
    p_value,
    first_seen,
    last_seen,
    as_of
  from alerts
  qualify row_number() over (partition by subject_kind, subject_id order by as_of desc, is_live, alert_id) = 1
),

alert_counts as (
  select subject_kind, subject_id, count(*) as alerts from alerts group by subject_kind, subject_id
),

listed as (
  -- The worker may have raised an alert on an account that no scoring has seen yet.
  select
    coalesce(judged.subject_kind, newest_alerts.subject_kind) as subject_kind,
    coalesce(judged.subject_id, newest_alerts.subject_id) as subject_id,
    coalesce(judged.members, newest_alerts.members) as members,
    coalesce(judged.records, newest_alerts.records) as records,
    coalesce(judged.score, newest_alerts.score) as score,
    coalesce(judged.p_value, newest_alerts.p_value) as p_value,
    judged.q_value,
    coalesce(judged.decision, 'alert') as decision,
    judged.benign_class,
    coalesce(judged.detector, newest_alerts.detector) as detector,
    coalesce(judged.first_seen, newest_alerts.first_seen) as first_seen,
    coalesce(judged.last_seen, newest_alerts.last_seen) as last_seen,
    coalesce(judged.as_of, newest_alerts.as_of) as as_of,
    newest_alerts.alert_id,
    newest_alerts.as_of as alerted_as_of,
    newest_alerts.is_live as is_live_alert
  from judged
  full join newest_alerts
    on newest_alerts.subject_kind = judged.subject_kind and newest_alerts.subject_id = judged.subject_id
),

memberships as (
  select account_id, min(cluster_id) as cluster_id from clusters group by account_id
)

select
  listed.subject_kind,
  listed.subject_id,
  listed.decision,
  listed.score,
  listed.p_value,
  listed.q_value,
  listed.records,
  listed.members,
  listed.benign_class,
  memberships.cluster_id,
  standing_verdicts.verdict,
  standing_verdicts.owner as verdict_owner,
  standing_verdicts.via_cluster as verdict_via_cluster,
  listed.alert_id,
  listed.alerted_as_of,
  listed.is_live_alert,
  coalesce(alert_counts.alerts, 0) as alerts,
  listed.first_seen,
  listed.last_seen,
  listed.as_of,
  count(*) over () as matching
from listed
left join memberships on listed.subject_kind = 'account' and memberships.account_id = listed.subject_id
left join standing_verdicts
  on standing_verdicts.subject_kind = listed.subject_kind and standing_verdicts.subject_id = listed.subject_id
left join alert_counts
  on alert_counts.subject_kind = listed.subject_kind and alert_counts.subject_id = listed.subject_id
where
  ($subject_kind::varchar is null or listed.subject_kind = $subject_kind)
  and ($decision::varchar is null or listed.decision = $decision)
  and ($benign_class::varchar is null or listed.benign_class = $benign_class)
  and ($detector::varchar is null or listed.detector = $detector)
  and ($verdict::varchar is null or coalesce(standing_verdicts.verdict, 'none') = $verdict)
  and coalesce(listed.records, 0) >= $min_records
  and (
    $search::varchar is null
    or contains(lower(listed.subject_id), lower($search))
    or contains(lower(coalesce(memberships.cluster_id, '')), lower($search))
  )
order by listed.p_value nulls last, listed.score desc nulls last, listed.subject_kind, listed.subject_id
limit $limit_rows offset $skip_rows;
