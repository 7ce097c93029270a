-- name: quiet_long_running_accounts
-- question: Which accounts never stand out by volume but have kept going, spread wide, for a long time?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   min_days integer = 5: days with at least one record
--   max_records_per_day number = 100: mean over the active days
--   min_records integer = 12: records in all
--   least_steadiness number = 0.85: active days, of the days from its first record to the newest in the lake
--   least_spread_in_time number = 0.8: windows it was active in, of those that as many records at random hours of its days would meet
--   least_topic_spread number = 0.5: topics touched, of those that as many records on topics at random would touch (of 256)
--   least_fresh number = 0.85: different prompts, of its records; not asked of accounts whose records carry no hash
--   limit_rows integer = 100: rows to show
-- grain: one row per account; first the most steady, spread and fresh, where many records show it (`drip_likeness`)
-- reads: window_deltas, records, topic_entropy, top_share
-- detects: slow drips: documented campaigns ran at 26 requests a day and account over weeks. People come in sessions, rest for
--   days and ask again; a drip does none of that
-- does not detect: short campaigns; narrow harvests of one capability; accounts that change their name; accounts that have
--   stopped; drips that are sent in bursts or ask again
-- false positives: a person who chats daily about everything with few questions: chat accounts are most of what is shown. By
--   default 26 of the 450 accounts of the lake in `docs/investigators.md` are shown, its three slow drips as numbers 2, 4 and
--   26, among four other attackers; 7 of 450 of the same with `--seed 4`, one of its three drips as number 2. Of lakes without
--   any attacker (`simulate --attack-share 0`) 5 and 6 of 300 accounts with 133 records each (`--accounts 300 --records 40000
--   --seed 991`, and 992), and 19 of 360 with 72 each (`--accounts 360 --records 26000 --seed 991`): in a week of few records
--   each row is weak. Look at the templates and at the hours
-- next step: `why_flagged`, then `who_shares_networks_or_payment`: a drip is rarely alone
with days as (
  select
    account_id,
    window_start::date as "day",
    count(distinct window_start) as windows,
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
    sum(records)::bigint / count(*) as records_per_day,
    count(*) / ((select max(window_start)::date from window_deltas) - min("day") + 1) as steadiness,
    sum(windows) / (24 * count(*) * (1 - power(1 - 1 / (24 * count(*)), sum(records)::bigint))) as spread_in_time
  from days
  group by account_id
  having
    active_days >= $min_days
    and sum(records) >= $min_records
    and records_per_day <= $max_records_per_day
    and steadiness >= $least_steadiness
    and spread_in_time >= $least_spread_in_time
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
    quiet.account_id,
    count(*) as topics,
    count(*) / (256 * (1 - power(1 - 1 / 256, any_value(quiet.records)))) as topic_spread,
    list({'bucket': topics.topic, 'count': topics.n_records} order by topics.topic) as topic_count
  from topics
  join quiet using (number)
  group by quiet.account_id
  having topic_spread >= $least_topic_spread
),

asked as (
  select account_id, count(distinct prompt_hash) / nullif(count(prompt_hash), 0) as fresh
  from records
  where account_id in (select spread.account_id from spread)
  group by account_id
),

shown as (
  select
    quiet.*,
    spread.topics,
    spread.topic_spread,
    asked.fresh,
    topic_entropy(spread.topic_count) as topic_entropy,
    top_share(spread.topic_count) as top_topic_share,
    quiet.steadiness * quiet.spread_in_time * spread.topic_spread * coalesce(asked.fresh, 1) * sqrt(quiet.records)
      as drip_likeness
  from quiet
  join spread using (account_id)
  join asked using (account_id)
  where coalesce(asked.fresh, 1) >= $least_fresh
  order by drip_likeness desc, quiet.account_id
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
  shown.drip_likeness,
  shown.records,
  shown.active_days,
  shown.records_per_day,
  busiest.busiest_window,
  shown.steadiness,
  shown.spread_in_time,
  shown.topic_spread,
  shown.fresh,
  shown.topics,
  shown.topic_entropy,
  shown.top_topic_share,
  shown.first_window,
  shown.last_window
from shown
join busiest using (account_id)
order by shown.drip_likeness desc, shown.account_id;
