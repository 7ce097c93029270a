-- name: repeated_prompts
-- question: Which prompts does this account ask again and again, and how?
-- topic: account
-- parameters:
--   account_id text: the account
--   min_times integer = 2: how often a prompt must have been asked
--   limit_rows integer = 100: rows to show
-- grain: one row per prompt, the most frequent first
-- reads: records, hash_hex
-- detects: several answers drawn from each prompt with other temperatures, models or reasoning on and off
-- does not detect: repeats that differ in a word
-- false positives: health checks, caches that were cleared, regression tests
-- next step: `account_records` with the prompt
select
  hash_hex(prompt_hash) as prompt,
  count(*) as times,
  count(distinct temperature) as temperatures,
  count(distinct model) as models,
  count(distinct reasoning_requested) as reasoning_settings,
  count(distinct event_time::date) as active_days,
  hash_hex(min(template_hash)) as template,
  min(event_time) as first_seen,
  max(event_time) as last_seen,
  epoch(max(event_time) - min(event_time)) / 3600 as hours_between_first_and_last
from records
where account_id = $account_id and prompt_hash is not null
group by prompt_hash
having count(*) >= $min_times
order by times desc, first_seen, prompt
limit $limit_rows;
