-- name: prompts_sampled_many_times
-- question: Which accounts draw many answers from each of many prompts?
-- topic: hunt
-- cost: the whole lake: seconds to minutes where it is large
-- parameters:
--   min_prompts integer = 20: prompts that must have been drawn from several times
--   min_draws integer = 3: answers per prompt: records times choices
--   least_share number = 0.5: share of its prompts drawn from that often
--   most_days_per_prompt number = 1.5: on how many days a prompt is asked on average, at most
--   limit_rows integer = 50: rows to show
-- grain: one row per account, most answers from repeated draws first
-- reads: records, safe_div
-- detects: lists worked off several times or with several choices, as training on ranked or filtered answers needs it
-- does not detect: one answer each (`list_workers`)
-- false positives: evaluation harnesses and researchers measure variance the same way; most come back to the same few
--   hundred prompts on other days, which `most_days_per_prompt` leaves out. Jobs that ask for several drafts
-- next step: `account_repeats`, `account_parameters`, `research_or_harvest`
with prompts as (
  select
    account_id,
    prompt_hash,
    count(*) as records,
    sum(greatest(coalesce(choice_count, 1), 1))::bigint as draws,
    count(distinct event_time::date) as active_days,
    count(distinct temperature) as temperatures
  from records
  where prompt_hash is not null
  group by account_id, prompt_hash
),

with_mode as (
  select *, mode(draws) over (partition by account_id) as most_frequent_draws from prompts
)

select
  account_id,
  count(*) as prompts,
  count(*) filter (where draws >= $min_draws) as prompts_drawn_often,
  safe_div(count(*) filter (where draws >= $min_draws), count(*)) as share_drawn_often,
  sum(records)::bigint as records,
  sum(draws)::bigint as draws,
  mode(draws) as usual_draws,
  safe_div(count(*) filter (where draws = most_frequent_draws), count(*)) as share_with_usual_draws,
  avg(active_days) filter (where draws >= $min_draws) as days_per_prompt,
  avg(temperatures) filter (where draws >= $min_draws) as temperatures_per_prompt
from with_mode
group by account_id
having
  prompts_drawn_often >= $min_prompts
  and share_drawn_often >= $least_share
  and days_per_prompt <= $most_days_per_prompt
order by sum(draws) filter (where draws >= $min_draws) desc, account_id
limit $limit_rows;
