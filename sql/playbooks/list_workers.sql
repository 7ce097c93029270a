-- name: list_workers
-- question: Which accounts ask everything once and cover most ground?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   min_records integer = 50: records that an account must have
--   least_fresh number = 0.98: share of its records with a prompt it had not asked before
--   least_topics number = 15: effective number of topics
--   limit_rows integer = 50: rows to show
-- grain: one row per account, the widest first
-- reads: records, window_deltas, topic_entropy
-- detects: harvests by their form, without any score: a list over many subjects, worked off once (in two simulated lakes
--   5 of the first 6 and 9 of the first 14 rows were attackers)
-- does not detect: narrow harvests; lists worked off several times (`prompts_sampled_many_times`); diluted ones
-- false positives: batch jobs over mixed documents; evaluation harnesses on their first run; long open-ended chats
-- next step: `why_flagged`; `coverage_growth`; `template_slots`
with numbered as materialized (
  -- Groups of numbers take a third of the memory that groups of names take.
  select account_id, row_number() over ()::integer as number
  from (select distinct account_id from window_deltas)
),

topics as (
  select number, entry.bucket as topic, sum(entry."count")::bigint as n_records
  from (
    select numbered.number, unnest(window_deltas.topic_count) as entry
    from window_deltas
    join numbered on numbered.account_id = window_deltas.account_id
  )
  group by number, topic
),

spread as (
  select
    number,
    count(*) as topics,
    topic_entropy(list({'bucket': topic, 'count': n_records} order by topic)) as topic_entropy
  from topics
  group by number
),

-- Few accounts are as wide as that, and one number per account is cheap: prompts are told apart only for those.
wide as (
  select numbered.account_id, spread.topics, spread.topic_entropy
  from spread
  join numbered on numbered.number = spread.number
  where exp(spread.topic_entropy) >= $least_topics
),

fresh as (
  select
    account_id,
    count(*) as records,
    count(distinct prompt_hash) / count(*) as fresh_share,
    count(distinct event_time::date) as active_days,
    avg(output_tokens) as mean_output_tokens,
    count(*) filter (where reasoning_requested) / count(*) as reasoning_share
  from records
  where prompt_hash is not null and account_id in (select wide.account_id from wide)
  group by account_id
  having count(*) >= $min_records and count(distinct prompt_hash) >= $least_fresh * count(*)
)

select
  fresh.account_id,
  fresh.records,
  fresh.fresh_share,
  wide.topics,
  wide.topic_entropy,
  exp(wide.topic_entropy) as effective_topics,
  fresh.active_days,
  fresh.mean_output_tokens,
  fresh.reasoning_share
from fresh
join wide on wide.account_id = fresh.account_id
order by wide.topic_entropy desc, fresh.account_id
limit $limit_rows;
