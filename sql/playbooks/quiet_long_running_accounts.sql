-- name: quiet_long_running_accounts
-- question: Which accounts never stand out by volume but have kept going, spread wide, for a long time?
-- topic: hunt
-- cost: the whole lake: seconds to minutes where it is large
-- parameters:
--   min_days integer = 5: days with at least one record
--   max_records_per_day number = 100: mean over the active days
--   min_records integer = 50: records in all
--   min_topics integer = 20: topics touched in all
--   limit_rows integer = 100: rows to show
-- grain: one row per account, the widest spread per record first
-- reads: windows, topic_entropy, top_share
-- detects: slow drips: documented campaigns ran at 26 requests a day and account over weeks
-- does not detect: short campaigns; narrow harvests of one capability; accounts that change their name
-- false positives: a person who chats daily about everything; an assistant inside a small company. Both come in
--   sessions and repeat themselves; look at the hours (`hour_flatness`) and at the templates
-- next step: `why_flagged`, then `who_shares_networks_or_payment`: a drip is rarely alone
with totals as (
  select
    account_id,
    count(distinct date_trunc('day', window_start)) as active_days,
    min(window_start) as first_window,
    max(window_start) as last_window,
    sum(records)::bigint as records,
    max(records) as busiest_window
  from windows
  group by account_id
),

quiet as (
  select *, records / active_days as records_per_day
  from totals
  where active_days >= $min_days and records >= $min_records and records / active_days <= $max_records_per_day
),

topics as (
  -- Rows and not merge_counts: an account may have thousands of windows.
  select account_id, entry.bucket as topic, sum(entry."count")::bigint as n_records
  from (
    select account_id, unnest(topic_count) as entry
    from windows
    where account_id in (select account_id from quiet)
  )
  group by account_id, topic
),

spread as (
  select
    account_id,
    count(*) as topics,
    list({'bucket': topic, 'count': n_records} order by topic) as topic_count
  from topics
  group by account_id
)

select
  quiet.account_id,
  quiet.records,
  quiet.active_days,
  quiet.records_per_day,
  quiet.busiest_window,
  spread.topics,
  topic_entropy(spread.topic_count) as topic_entropy,
  top_share(spread.topic_count) as top_topic_share,
  quiet.first_window,
  quiet.last_window
from quiet
join spread using (account_id)
where spread.topics >= $min_topics
order by topic_entropy desc, quiet.account_id
limit $limit_rows;
