-- name: account_repeats
-- question: How often does this account ask the same prompt again?
-- topic: account
-- parameters:
--   account_id text: the account
-- grain: one row per number of times that prompts were asked, ascending
-- reads: records, hash_hex, safe_div
-- detects: a list worked off once (all prompts asked once), one worked off k times (all asked exactly k times), a job
--   that asks few prompts again and again
-- does not detect: prompts that differ in a word; repeats across accounts (`overlap_between_accounts`)
-- false positives: chats hardly repeat themselves either: what a list adds is that nothing at all recurs over thousands
--   of records, or everything equally often
-- instead: `case_repeats` for a cluster, and for templates and system prompts
-- next step: `repeated_prompts` for the prompts themselves; `template_slots` for prompts that share a template
with prompts as (
  select
    prompt_hash,
    count(*) as times,
    max(event_time) - min(event_time) as between_first_and_last
  from records
  where account_id = $account_id and prompt_hash is not null
  group by prompt_hash
)

select
  times,
  count(*) as prompts,
  (times * count(*))::bigint as records,
  safe_div(times * count(*), sum(times * count(*)) over ()) as share_of_records,
  epoch(median(between_first_and_last)) / 3600 as median_hours_between_first_and_last,
  hash_hex(min(prompt_hash)) as example
from prompts
group by times
order by times;
