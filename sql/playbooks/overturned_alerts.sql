-- name: overturned_alerts
-- question: Which alerts did people later call benign or allow?
-- topic: queue
-- parameters:
--   since timestamp = 1970-01-01: alerts as of this or later
--   limit_rows integer = 100: rows to show
-- grain: one row per alert whose subject has a standing verdict benign or allowed, the newest verdict first. `hours_to_verdict`
--   is below 0 where the verdict stood already when the alert was raised
-- reads: alerts, standing_verdicts, account_scores
-- detects: what the detector gets wrong: classes and signals that return in this list call for a fit from verdicts
-- does not detect: alerts that nobody has decided; wrong verdicts
-- false positives: a verdict through a cluster holds for members that were never looked at (`via_cluster`)
-- next step: `alert_evidence` of the alert; `what_a_class_looks_like` of the class
select
  alerts.alert_id,
  alerts.subject_kind,
  alerts.subject_id,
  alerts.detector,
  alerts.score,
  alerts.p_value,
  alerts.as_of,
  alerts.is_live,
  standing_verdicts.verdict,
  standing_verdicts.reason,
  standing_verdicts.owner,
  standing_verdicts.decided_at,
  standing_verdicts.via_cluster,
  epoch(standing_verdicts.decided_at - alerts.as_of) / 3600 as hours_to_verdict,
  account_scores.benign_class,
  evidence ->> '$.sentences[0]' as first_sentence
from alerts
join standing_verdicts
  on standing_verdicts.subject_kind = alerts.subject_kind and standing_verdicts.subject_id = alerts.subject_id
left join account_scores on alerts.subject_kind = 'account' and account_scores.account_id = alerts.subject_id
where standing_verdicts.verdict in ('benign', 'allowed') and alerts.as_of >= $since
order by standing_verdicts.decided_at desc, alerts.as_of desc, alerts.alert_id
limit $limit_rows;
