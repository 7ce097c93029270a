-- name: coverage_growth
-- question: Does this account keep reaching new topics and new prompts as its records grow?
-- topic: account
-- parameters:
--   account_id text: the account
-- grain: one row per window of the account, oldest first
-- reads: window_deltas, account_topics, records, raw.lake, safe_div
-- detects: curves that do not bend: a list worked off reaches new prompts with every record and new topics for long
-- does not detect: anything within a window; topics finer than the codebook's cells
-- false positives: young accounts, assistants with many users behind them and research reach new topics too; prompts
--   that never recur are usual in chats. A curve is read beside those of its class
-- next step: `topic_coverage_against_class`, `account_repeats`
with by_window as (
  select window_start, sum(records)::bigint as records
  from window_deltas
  where account_id = $account_id
  group by window_start
),

new_topics as (
  select first_window as window_start, count(*) as new_topics from account_topics($account_id) group by first_window
),

first_asked as (
  select prompt_hash, epoch_us(min(event_time)) as first_us
  from records
  where account_id = $account_id and prompt_hash is not null
  group by prompt_hash
),

new_prompts as (
  select
    make_timestamp(first_us - first_us % (lake.window_seconds::bigint * 1000000)) as window_start,
    count(*) as new_prompts
  from first_asked
  cross join raw.lake as lake
  group by 1
)

select
  by_window.window_start,
  by_window.records,
  sum(by_window.records) over until_here::bigint as records_so_far,
  coalesce(new_topics.new_topics, 0) as new_topics,
  coalesce(sum(new_topics.new_topics) over until_here, 0)::bigint as topics_so_far,
  coalesce(new_prompts.new_prompts, 0) as new_prompts,
  coalesce(sum(new_prompts.new_prompts) over until_here, 0)::bigint as prompts_so_far,
  safe_div(
    coalesce(sum(new_prompts.new_prompts) over until_here, 0), sum(by_window.records) over until_here
  ) as new_prompt_share_so_far
from by_window
left join new_topics using (window_start)
left join new_prompts using (window_start)
window until_here as (order by by_window.window_start rows unbounded preceding)
order by by_window.window_start;
