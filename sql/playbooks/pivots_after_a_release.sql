-- name: pivots_after_a_release
-- question: Which new models drew whole accounts within days of their first appearance?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   days number = 2: how long before and after a model's first record to look
--   min_records integer = 20: records that an account must have on each side
--   least_share number = 0.4: share of its later records that must go to the new model
-- grain: one row per model that appeared after the lake's first `days` and drew somebody, the newest first
-- reads: records, safe_div
-- detects: releases after which accounts moved, with the ones that moved first: one documented campaign was given away by
--   moving nearly half of its traffic within a day
-- does not detect: releases outside what has landed; moves over weeks; accounts that began after the release
-- false positives: enthusiasts and evaluation teams; an alias such as "latest" moves everybody: `share_of_everybody`. Where
--   a new model is liked, an account in ten moves half of its traffic (11 of 103 in a lake without any attacker, `simulate
--   --attack-share 0 --accounts 360 --records 26000 --seed 991`): `largest_share` says whether somebody moved nearly all of it
-- next step: `model_pivot` with the model and its `first_seen`; `overlap_between_accounts` of two that moved together
with models as (
  select model, min(event_time) as first_seen from records where model is not null group by model
),

releases as (
  select *
  from models
  where first_seen >= (select min(first_seen) from models) + to_seconds($days * 86400)
),

around as (
  select
    releases.model as new_model,
    releases.first_seen,
    records.account_id,
    records.event_time >= releases.first_seen as is_after,
    records.model is not distinct from releases.model as is_new_model
  from records
  join releases
    on records.event_time >= releases.first_seen - to_seconds($days * 86400)
    and records.event_time < releases.first_seen + to_seconds($days * 86400)
),

sides as (
  select
    new_model,
    first_seen,
    account_id,
    count(*) filter (where not is_after) as records_before,
    count(*) filter (where is_after) as records_after,
    count(*) filter (where is_after and is_new_model) as on_new_model
  from around
  group by new_model, first_seen, account_id
),

marked as (
  select
    *,
    records_before >= $min_records
    and records_after >= $min_records
    and on_new_model >= $least_share * records_after as is_pivot
  from sides
)

select
  new_model as model,
  first_seen,
  count(*) filter (where records_before >= $min_records and records_after >= $min_records) as accounts,
  count(*) filter (where on_new_model > 0) as accounts_that_tried_it,
  safe_div(sum(on_new_model), sum(records_after)) as share_of_everybody,
  count(*) filter (where is_pivot) as pivots,
  max(on_new_model / records_after) filter (where is_pivot) as largest_share,
  list_slice(
    list(account_id order by on_new_model / records_after desc, on_new_model desc, account_id) filter (where is_pivot), 1, 20
  ) as moved_most
from marked
group by new_model, first_seen
having pivots > 0
order by first_seen desc, model;
