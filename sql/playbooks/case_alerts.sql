-- name: case_alerts
-- question: What did alerts say of this account or cluster, of its members, and of the clusters it belongs to?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per alert, those of the subject itself first, then the newest first
-- reads: subject_accounts, alerts, cluster_scores
-- detects: every alert that names the subject, with its evidence and what is needed to derive it again
-- does not detect: alerts that the manifest no longer names
-- false positives: an alert is evidence, not proof; `evidence` says what speaks against it
-- instead: `alerts_of_an_account` for one account, to read: one sentence an alert instead of its evidence as JSON
-- next step: `distillwatch verify --lake DIR --alert ID` derives an alert again from its records
with names as (
  select $subject as subject_id
  union
  select cluster_id as subject_id from cluster_scores where members_hash = $subject
),

accounts as (
  select account_id from subject_accounts($subject)
),

related as (
  select
    alerts.* exclude (evidence, provenance),
    alerts.evidence::varchar as evidence,
    alerts.provenance::varchar as provenance,
    case
      when alerts.subject_id in (select names.subject_id from names) then 'subject'
      when alerts.subject_kind = 'account' then 'member'
      else 'cluster'
    end as relation
  from alerts
  where
    alerts.subject_id in (select names.subject_id from names)
    or (alerts.subject_kind = 'account' and alerts.subject_id in (select accounts.account_id from accounts))
    or (alerts.subject_kind = 'cluster' and list_contains(alerts.members, $subject))
)

select *
from related
order by relation <> 'subject', relation, as_of desc, coalesce(is_live, false), p_value, alert_id;
