-- name: case_scores
-- question: How did the score of this account or cluster develop from scoring to scoring?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per scoring that the manifest names and subject, the oldest first
-- reads: raw.account_scores, raw.cluster_scores
-- detects: scores that grow with the records seen, decisions that changed
-- does not detect: scorings that the manifest no longer names
-- false positives: a score that grows is not proof: more records make every judgement firmer
-- instead: `scores_over_time` for one account: it has the alerts and live looks between scorings too
-- next step: `case_accounts` for the members of a cluster
select 'account' as subject_kind, as_of, records, score, p_value, q_value, decision, benign_class, reference
from raw.account_scores
where account_id = $subject
union all
select 'cluster' as subject_kind, as_of, records, score, p_value, q_value, decision, null as benign_class, reference
from raw.cluster_scores
where cluster_id = $subject or members_hash = $subject
order by subject_kind, as_of, records;
