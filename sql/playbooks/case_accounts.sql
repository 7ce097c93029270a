-- name: case_accounts
-- question: Which accounts is a case about, how were they judged, and which verdict stands on each?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per account of the subject that has records or a score, the first seen first
-- reads: subject_accounts, account_scores, clusters, standing_verdicts, window_deltas
-- detects: who belongs to the case, since when, and what was said of each of them
-- does not detect: members of a cluster that the newest scoring knows and the alert does not name
-- false positives: none of its own: it repeats what scoring and people said
-- instead: `members_of_a_cluster` for who joined and left when
-- next step: `case_timeline` for what they did
with landed as (
  -- Deltas and not windows: a join reaches the files only before deltas are added up.
  select
    account_id,
    sum(window_deltas.records)::bigint as records,
    min(window_start) as first_window,
    max(window_start) as last_window
  from window_deltas
  where account_id in (select s.account_id from subject_accounts($subject) as s)
  group by account_id
)

select
  members.account_id,
  clusters.cluster_id,
  members.in_cluster_since,
  coalesce(landed.records, account_scores.records) as records,
  landed.first_window,
  landed.last_window,
  account_scores.as_of,
  account_scores.records as records_judged,
  account_scores.score,
  account_scores.p_value,
  account_scores.q_value,
  account_scores.decision,
  account_scores.benign_class,
  account_scores.detector,
  account_scores.first_seen,
  account_scores.last_seen,
  clusters.centroid_cosine,
  clusters.links,
  standing_verdicts.verdict,
  standing_verdicts.via_cluster
from subject_accounts($subject) as members
left join landed on landed.account_id = members.account_id
left join account_scores on account_scores.account_id = members.account_id
left join clusters on clusters.account_id = members.account_id
left join standing_verdicts
  on standing_verdicts.subject_id = members.account_id and standing_verdicts.subject_kind = 'account'
where landed.account_id is not null or account_scores.account_id is not null
order by coalesce(account_scores.first_seen, landed.first_window), members.account_id;
