-- name: round_the_clock_accounts
-- question: Which accounts work at every hour of the day, day after day?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   min_days integer = 3: days with records
--   min_records integer = 50: records in all
--   least_flatness number = 0.95: evenness of the hours, from 0 to 1; 0.95 is that of 20 hours used alike, 0.9 that of 17, as of many who sleep
--   limit_rows integer = 100: rows to show
-- grain: one row per account, the flattest first
-- reads: window_deltas, hour_flatness
-- detects: programs, and operators that rotate accounts so that each rests and the whole does not (look at clusters)
-- does not detect: programs that keep office hours, as careful harvests do
-- false positives: every service with users around the world; monitoring; batch queues. By default 13
--   of 360 accounts of a simulated lake are shown, 7 of them attackers (`simulate --attack-share 0.1 --accounts 360 --records
--   26000 --seed 7`), and 7 of 360 of one without any (`--attack-share 0 --seed 991`); at 0.9, 42 and 41. Few records look
--   less even than they are: an account that never rests needs about a hundred
-- next step: `account_hours`; `list_workers` for those of them that never ask again
with days as (
  select
    account_id,
    window_start::date as "day",
    sum(records)::bigint as records,
    min(window_start) as first_window,
    max(window_start) as last_window
  from window_deltas
  group by account_id, "day"
),

totals as materialized (
  select
    account_id,
    -- Groups of numbers take a third of the memory that groups of names take.
    row_number() over ()::integer as number,
    sum(records)::bigint as records,
    count(*) as active_days,
    min(first_window) as first_window,
    max(last_window) as last_window
  from days
  group by account_id
  having sum(records) >= $min_records and count(*) >= $min_days
),

hours as (
  select number, entry.bucket as bucket, sum(entry."count")::bigint as n_records
  from (
    select totals.number, unnest(window_deltas.hour_histogram) as entry
    from window_deltas
    join totals on totals.account_id = window_deltas.account_id
  )
  group by number, bucket
),

flat as (
  select number, hour_flatness(list({'bucket': bucket, 'count': n_records} order by bucket)) as hour_flatness
  from hours
  group by number
),

shown as (
  select totals.*, flat.hour_flatness
  from totals
  join flat using (number)
  where flat.hour_flatness >= $least_flatness
  order by flat.hour_flatness desc, totals.account_id
  limit $limit_rows
),

windows_of_shown as (
  -- Counted only for those who are shown: a lake has far more windows than days.
  select account_id, count(distinct window_start) as windows
  from window_deltas
  where account_id in (select shown.account_id from shown)
  group by account_id
)

select
  shown.account_id,
  shown.records,
  shown.active_days,
  windows_of_shown.windows,
  shown.first_window,
  shown.last_window,
  shown.hour_flatness
from shown
join windows_of_shown using (account_id)
order by shown.hour_flatness desc, shown.account_id;
