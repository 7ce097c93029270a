-- name: quiet_long_running_accounts
-- question: Which accounts never stand out by volume but have kept going, spread wide, for a long time?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   min_days integer = 5: days with at least one record
--   max_records_per_day number = 100: mean over the active days
--   min_records integer = 50: records in all
--   min_topics integer = 20: topics touched in all
--   limit_rows integer = 100: rows to show
-- grain: one row per account, the widest spread per record first
-- reads: window_deltas, topic_entropy, top_share
-- detects: slow drips: documented campaigns ran at 26 requests a day and account over weeks
-- does not detect: short campaigns; narrow harvests of one capability; accounts that change their name
-- false positives: a person who chats daily about everything; an assistant inside a small company. Both come in
--   sessions and repeat themselves; look at the hours (`hour_flatness`) and at the templates
-- next step: `why_flagged`, then `who_shares_networks_or_payment`: a drip is rarely alone
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

quiet as materialized (
  select
    account_id,
    -- Groups of numbers take a third of the memory that groups of names take.
    row_number() over ()::integer as number,
    count(*) as active_days,
    min(first_window) as first_window,
    max(last_window) as last_window,
    sum(records)::bigint as records,
    sum(records)::bigint / count(*) as records_per_day
  from days
  group by account_id
  having active_days >= $min_days and sum(records) >= $min_records and records_per_day <= $max_records_per_day
),

topics as (
  -- Rows and not merge_counts: an account may have thousands of windows.
  select number, entry.bucket as topic, sum(entry."count")::bigint as n_records
  from (
    select quiet.number, unnest(window_deltas.topic_count) as entry
    from window_deltas
    join quiet on quiet.account_id = window_deltas.account_id
  )
  group by number, topic
),

spread as (
  select
    number,
    count(*) as topics,
    list({'bucket': topic, 'count': n_records} order by topic) as topic_count
  from topics
  group by number
  having topics >= $min_topics
),

shown as (
  select
    quiet.*,
    spread.topics,
    topic_entropy(spread.topic_count) as topic_entropy,
    top_share(spread.topic_count) as top_topic_share
  from quiet
  join spread using (number)
  order by topic_entropy desc, quiet.account_id
  limit $limit_rows
),

windows_of_shown as (
  -- Deltas of a window are added up only for those who are shown.
  select account_id, window_start, sum(records)::bigint as records
  from window_deltas
  where account_id in (select shown.account_id from shown)
  group by account_id, window_start
),

busiest as (
  select account_id, max(records) as busiest_window from windows_of_shown group by account_id
)

select
  shown.account_id,
  shown.records,
  shown.active_days,
  shown.records_per_day,
  busiest.busiest_window,
  shown.topics,
  shown.topic_entropy,
  shown.top_topic_share,
  shown.first_window,
  shown.last_window
from shown
join busiest using (account_id)
order by shown.topic_entropy desc, shown.account_id;
