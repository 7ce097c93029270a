-- name: case_queue_facets
-- question: How many accounts and clusters of the queue fall under each decision, class and verdict?
-- topic: queue
-- cost: every account's scores
-- parameters:
--   subject_kind text = null: as in case_queue
--   decision text = null: as in case_queue
--   benign_class text = null: as in case_queue
--   detector text = null: as in case_queue
--   verdict text = null: as in case_queue
--   min_records integer = 0: as in case_queue
-- grain: one row per facet and value, the most frequent first. A facet counts what the other facets let through, so that
--   every value that could be chosen instead is there
-- reads: account_scores, cluster_scores, alerts, standing_verdicts
-- detects: where the work lies: alerts without a verdict, a class that draws most of them
-- does not detect: anything about a single subject
-- false positives: none: these are counts
-- next step: `case_queue` with the value chosen
with judged as (
  select 'account' as subject_kind, account_id as subject_id, records, decision, benign_class, detector from account_scores
  union all by name
  select 'cluster' as subject_kind, cluster_id as subject_id, records, decision, detector from cluster_scores
),

alerted as (
  select subject_kind, subject_id, arg_max((evidence ->> 'records')::bigint, as_of) as records, arg_max(detector, as_of) as detector
  from alerts
  group by subject_kind, subject_id
),

listed as (
  select
    coalesce(judged.subject_kind, alerted.subject_kind) as subject_kind,
    coalesce(judged.subject_id, alerted.subject_id) as subject_id,
    coalesce(judged.records, alerted.records) as records,
    coalesce(judged.decision, 'alert') as decision,
    judged.benign_class,
    coalesce(judged.detector, alerted.detector) as detector
  from judged
  full join alerted on alerted.subject_kind = judged.subject_kind and alerted.subject_id = judged.subject_id
),

marked as (
  select
    listed.subject_kind,
    listed.decision,
    listed.benign_class,
    listed.detector,
    coalesce(standing_verdicts.verdict, 'none') as verdict,
    $subject_kind::varchar is null or listed.subject_kind = $subject_kind as fits_kind,
    $decision::varchar is null or listed.decision = $decision as fits_decision,
    $benign_class::varchar is null or coalesce(listed.benign_class = $benign_class, false) as fits_class,
    $detector::varchar is null or coalesce(listed.detector = $detector, false) as fits_detector,
    $verdict::varchar is null or coalesce(standing_verdicts.verdict, 'none') = $verdict as fits_verdict
  from listed
  left join standing_verdicts
    on standing_verdicts.subject_kind = listed.subject_kind and standing_verdicts.subject_id = listed.subject_id
  where coalesce(listed.records, 0) >= $min_records
)

select 'subject_kind' as facet, subject_kind as facet_value, count(*) as subjects
from marked
where fits_decision and fits_class and fits_verdict and fits_detector
group by subject_kind
union all
select 'decision' as facet, decision as facet_value, count(*) as subjects
from marked
where fits_kind and fits_class and fits_verdict and fits_detector
group by decision
union all
select 'benign_class' as facet, benign_class as facet_value, count(*) as subjects
from marked
where fits_kind and fits_decision and fits_verdict and fits_detector and benign_class is not null
group by benign_class
union all
select 'verdict' as facet, verdict as facet_value, count(*) as subjects
from marked
where fits_kind and fits_decision and fits_class and fits_detector
group by verdict
union all
select 'detector' as facet, detector as facet_value, count(*) as subjects
from marked
where fits_kind and fits_decision and fits_class and fits_verdict and detector is not null
group by detector
order by facet, subjects desc, facet_value;
