-- name: verdict_history
-- question: What did people decide about this account or cluster, and what of it stands?
-- topic: queue
-- parameters:
--   subject_id text: an account or a cluster
-- grain: one row per verdict or withdrawal on it, or on a cluster with it, the newest first
-- reads: verdicts, standing_verdicts
-- detects: who decided what, when and why; what was overruled, withdrawn or has expired as of the newest scoring
-- does not detect: notes and proposals that became no verdict
-- false positives: none: this is the record of decisions
-- next step: `alerts_of_an_account` for what it was decided upon
select
  verdicts.verdict_id,
  verdicts.subject_kind,
  verdicts.subject_id,
  verdicts.subject_id <> $subject_id as is_via_cluster,
  verdicts.verdict,
  verdicts.reason,
  verdicts.owner,
  verdicts.decided_at,
  verdicts.expires_at,
  verdicts.alert_id,
  verdicts.case_id,
  verdicts.withdraws,
  verdicts.is_withdrawn,
  standing_verdicts.verdict_id is not null as is_standing
from verdicts
left join standing_verdicts
  on standing_verdicts.verdict_id = verdicts.verdict_id and standing_verdicts.subject_id = $subject_id
where verdicts.subject_id = $subject_id or list_contains(verdicts.members, $subject_id)
order by verdicts.decided_at desc, verdicts.verdict_id;
