-- name: prompts_sampled_many_times
-- question: Which accounts draw many answers from each of many prompts?
-- topic: hunt
-- cost: the whole lake: seconds where it is large. Memory grows with its different prompts: where the query is stopped for it,
--   raise `--memory-limit`
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
with numbered as materialized (
  -- Groups of numbers take a third of the memory that groups of names take.
  select account_id, row_number() over ()::integer as number
  from records
  where prompt_hash is not null
  group by account_id
  -- Whoever draws less in all cannot have so many prompts drawn so often.
  having sum(greatest(coalesce(choice_count, 1), 1)) >= $min_prompts * $min_draws
),

draws_per_prompt as (
  select numbered.number, records.prompt_hash, sum(greatest(coalesce(records.choice_count, 1), 1)) as draws
  from records
  join numbered on numbered.account_id = records.account_id
  where records.prompt_hash is not null
  group by numbered.number, records.prompt_hash
),

-- Everybody's prompts are only counted; what else is asked of a prompt is asked for the few accounts that draw often.
often as (
  select number
  from draws_per_prompt
  group by number
  having
    count(*) filter (where draws >= $min_draws) >= $min_prompts
    and count(*) filter (where draws >= $min_draws) >= $least_share * count(*)
),

prompts as (
  select
    account_id,
    prompt_hash,
    count(*) as records,
    sum(greatest(coalesce(choice_count, 1), 1))::bigint as draws,
    count(distinct event_time::date) as active_days,
    count(distinct temperature) as temperatures
  from records
  where prompt_hash is not null and account_id in (select numbered.account_id from numbered join often using (number))
  group by account_id, prompt_hash
),

usual as (
  -- Of several that are equally frequent, the fewest.
  select account_id, mode(draws order by draws) as usual_draws from prompts group by account_id
)

select
  prompts.account_id,
  count(*) as prompts,
  count(*) filter (where prompts.draws >= $min_draws) as prompts_drawn_often,
  safe_div(count(*) filter (where prompts.draws >= $min_draws), count(*)) as share_drawn_often,
  sum(prompts.records)::bigint as records,
  sum(prompts.draws)::bigint as draws,
  usual.usual_draws,
  safe_div(count(*) filter (where prompts.draws = usual.usual_draws), count(*)) as share_with_usual_draws,
  avg(prompts.active_days) filter (where prompts.draws >= $min_draws) as days_per_prompt,
  avg(prompts.temperatures) filter (where prompts.draws >= $min_draws) as temperatures_per_prompt
from prompts
join usual on usual.account_id = prompts.account_id
group by prompts.account_id, usual.usual_draws
having
  prompts_drawn_often >= $min_prompts
  and share_drawn_often >= $least_share
  and days_per_prompt <= $most_days_per_prompt
order by sum(prompts.draws) filter (where prompts.draws >= $min_draws) desc, prompts.account_id
limit $limit_rows;
