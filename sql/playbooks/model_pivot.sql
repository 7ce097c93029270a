-- name: model_pivot
-- question: Which accounts moved their traffic to a model soon after it was released?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   model text: name of the new model, as the records have it
--   released_at timestamp: when it became available (UTC)
--   days number = 1: how long after the release to look, and at most how long before
--   min_records integer = 20: records needed on each side of the release
--   least_share number = 0.4: share of its later records that must go to the new model; 0 shows everybody who tried it
--   limit_rows integer = 100: rows to show
-- grain: one row per account with enough records on both sides, the largest move first
-- reads: records, safe_div
-- detects: the pivot that gave away one documented campaign: nearly half of its traffic on a new model within 24 hours
-- does not detect: accounts that begin after the release (nothing to compare with), or move over weeks
-- false positives: enthusiasts and evaluation teams try a new model on its first day; an alias such as "latest" moves
--   everybody. Compare `share_of_everybody`: what counts is a move far beyond it, at volume
-- next step: `account_timeline` around the release; `who_shares_networks_or_payment` for those who moved together
with around as (
  select
    account_id,
    event_time >= $released_at as is_after,
    model is not distinct from $model as is_new_model
  from records
  where event_time >= $released_at - to_seconds($days * 86400)
    and event_time < $released_at + to_seconds($days * 86400)
),

sides as (
  select
    account_id,
    count(*) filter (where not is_after) as records_before,
    count(*) filter (where is_after) as records_after,
    count(*) filter (where is_after and is_new_model) as on_new_model
  from around
  group by account_id
),

everybody as (
  select safe_div(sum(on_new_model), sum(records_after)) as share_of_everybody from sides
)

select
  sides.account_id,
  sides.records_before,
  sides.records_after,
  sides.on_new_model,
  safe_div(sides.on_new_model, sides.records_after) as share_after,
  everybody.share_of_everybody
from sides
cross join everybody
where sides.records_before >= $min_records and sides.records_after >= $min_records and sides.on_new_model > 0
  and sides.on_new_model >= $least_share * sides.records_after
order by share_after desc, sides.on_new_model desc, sides.account_id
limit $limit_rows;
