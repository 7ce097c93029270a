-- name: round_the_clock_accounts
-- question: Which accounts work at every hour of the day, day after day?
-- topic: hunt
-- cost: the whole lake: seconds to minutes where it is large
-- parameters:
--   min_days integer = 3: days with records
--   min_records integer = 50: records in all
--   least_flatness number = 0.9: evenness of the hours, from 0 to 1
--   limit_rows integer = 100: rows to show
-- grain: one row per account, the flattest first
-- reads: window_deltas, hour_flatness
-- detects: programs, and operators that rotate accounts so that each rests and the whole does not (look at clusters)
-- does not detect: programs that keep office hours, as careful harvests do
-- false positives: every service with users around the world; monitoring; batch queues
-- next step: `account_hours`; `list_workers` for those of them that never ask again
with hours as (
  select account_id, entry.bucket as bucket, sum(entry."count")::bigint as n_records
  from (select account_id, unnest(hour_histogram) as entry from window_deltas)
  group by account_id, bucket
),

flat as (
  select account_id, hour_flatness(list({'bucket': bucket, 'count': n_records} order by bucket)) as hour_flatness
  from hours
  group by account_id
),

totals as (
  select
    account_id,
    sum(records)::bigint as records,
    count(distinct window_start::date) as active_days,
    count(distinct window_start) as windows,
    min(window_start) as first_window,
    max(window_start) as last_window
  from window_deltas
  group by account_id
  having sum(records) >= $min_records and count(distinct window_start::date) >= $min_days
)

select totals.*, flat.hour_flatness
from totals
join flat using (account_id)
where flat.hour_flatness >= $least_flatness
order by flat.hour_flatness desc, totals.account_id
limit $limit_rows;
