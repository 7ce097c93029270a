-- name: silent_hours
-- question: In which windows did far fewer records arrive than usual?
-- topic: data
-- cost: the whole lake: seconds where it is large
-- parameters:
--   least_share number = 0.1: of the usual number, below which a window is shown
--   around integer = 24: windows before and after that say what is usual
-- grain: one row per window, oldest first; `usual_records` is the median of the windows around
-- reads: window_deltas, raw.lake, safe_div
-- detects: outages, producers that stopped, records that were lost before they reached the log
-- does not detect: one silent producer among many; a silence that goes on until now, as no window follows it
-- false positives: nights and holidays of a small service; the lake's first and newest windows, which are not whole
-- next step: `data_freshness_and_gaps`; what is missing there changes scores of accounts active then
with numbered as materialized (
  -- Groups of numbers take a third of the memory that groups of names take.
  select account_id, row_number() over ()::integer as number
  from (select distinct account_id from window_deltas)
),

landed as (
  select
    window_deltas.window_start,
    sum(window_deltas.records)::bigint as records,
    count(distinct numbered.number) as accounts
  from window_deltas
  join numbered on numbered.account_id = window_deltas.account_id
  group by window_deltas.window_start
),

ends as (
  select min(window_start) as first_window, max(window_start) as last_window from landed
),

every_window as (
  select unnest(generate_series(ends.first_window, ends.last_window, to_seconds(lake.window_seconds))) as window_start
  from ends
  cross join raw.lake as lake
),

compared as (
  select
    every_window.window_start,
    coalesce(landed.records, 0) as records,
    coalesce(landed.accounts, 0) as accounts,
    median(coalesce(landed.records, 0)) over (
      order by every_window.window_start rows between $around preceding and $around following
    ) as usual_records
  from every_window
  left join landed using (window_start)
)

select window_start, records, accounts, usual_records, safe_div(records, usual_records) as share
from compared
where records < $least_share * usual_records
order by window_start;
