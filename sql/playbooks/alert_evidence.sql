-- name: alert_evidence
-- question: On which signals does this alert rest, and how much does each add?
-- topic: queue
-- parameters:
--   alert_id text: the alert
-- grain: one row per signal, the largest contribution first
-- reads: alerts
-- detects: the signals that speak for and against; contributions and a constant add up to the score. `rank_used` is the rank by which
--   the detector judged: among the reference population, from which accounts that stand out at first are left out
-- does not detect: whether the explanation holds: look at the records (`alert_records`)
-- false positives: a signal can add much although it is common among honest specialists; see `what_a_class_looks_like`
-- instead: `why_flagged` for an account, with where it lies among all accounts in every signal
-- next step: `alert_records`, `account_timeline`
with signals as (
  select
    alert_id,
    subject_kind,
    subject_id,
    unnest(
      from_json(
        evidence -> 'signals',
        '[{"signal": "VARCHAR", "units": "VARCHAR", "value": "DOUBLE", "rank": "DOUBLE", "median": "DOUBLE", "contribution": "DOUBLE", "direction": "VARCHAR"}]'
      )
    ) as entry
  from alerts
  where alert_id = $alert_id
)

select
  subject_kind,
  subject_id,
  entry.signal as signal,
  entry."value" as signal_value,
  entry.units as units,
  entry."rank" as rank_used,
  entry."median" as reference_median,
  entry.contribution as contribution,
  entry.direction as direction
from signals
order by contribution desc nulls last, signal;
