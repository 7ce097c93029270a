-- name: list_workers
-- question: Which accounts ask everything once and cover most ground?
-- topic: hunt
-- cost: the whole lake: seconds to minutes where it is large
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
with fresh as (
  select
    account_id,
    count(*) as records,
    count(distinct prompt_hash) as prompts,
    count(distinct prompt_hash) / count(*) as fresh_share,
    count(distinct event_time::date) as active_days,
    avg(output_tokens) as mean_output_tokens,
    count(*) filter (where reasoning_requested) / count(*) as reasoning_share
  from records
  where prompt_hash is not null
  group by account_id
  having count(*) >= $min_records and count(distinct prompt_hash) >= $least_fresh * count(*)
),

topics as (
  select account_id, entry.bucket as topic, sum(entry."count")::bigint as n_records
  from (
    select account_id, unnest(topic_count) as entry
    from window_deltas
    where account_id in (select fresh.account_id from fresh)
  )
  group by account_id, topic
),

spread as (
  select
    account_id,
    count(*) as topics,
    topic_entropy(list({'bucket': topic, 'count': n_records} order by topic)) as topic_entropy
  from topics
  group by account_id
)

select
  fresh.account_id,
  fresh.records,
  fresh.fresh_share,
  spread.topics,
  spread.topic_entropy,
  exp(spread.topic_entropy) as effective_topics,
  fresh.active_days,
  fresh.mean_output_tokens,
  fresh.reasoning_share
from fresh
join spread using (account_id)
where exp(spread.topic_entropy) >= $least_topics
order by spread.topic_entropy desc, fresh.account_id
limit $limit_rows;
