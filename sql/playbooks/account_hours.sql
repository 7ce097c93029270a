-- name: account_hours
-- question: On which days and at which hours does this account work?
-- topic: account
-- parameters:
--   account_id text: the account
-- grain: one row per day and hour of the day with records (UTC), in order
-- reads: windows
-- detects: work round the clock, work in office hours of some zone, bursts at the same minute of every night
-- does not detect: the zone itself; what happens within an hour
-- false positives: jobs that honest customers schedule run at night as well
-- next step: `account_timeline`; `account_records` of one hour
select
  day_of_window as "day",
  entry.bucket as "hour",
  isodow(day_of_window) as day_of_week,
  sum(entry."count")::bigint as records
from (
  select window_start::date as day_of_window, unnest(hour_histogram) as entry
  from windows
  where account_id = $account_id
)
group by day_of_window, entry.bucket
order by day_of_window, entry.bucket;
