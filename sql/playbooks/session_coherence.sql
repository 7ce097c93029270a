-- name: session_coherence
-- question: Do consecutive prompts of this account belong together, session by session?
-- topic: account
-- parameters:
--   account_id text: the account
--   silence_minutes number = 10: a longer silence ends a session
--   most_records integer = 2000: its newest records to look at
-- grain: one row per session, oldest first; null where no two different prompts follow each other in it
-- reads: records, grid_vector, cosine, mean_cosine, sum_vectors, safe_div
-- detects: lists: what follows in a session is no closer than any two prompts of the account (`coherence` near 0)
-- does not detect: lists in an order of subjects; sessions of several users at once hide each other
-- false positives: evaluation harnesses and batch jobs have no sessions either; resellers mix those of many
-- next step: `account_records` of a session
with newest as (
  select event_time, request_id, prompt_hash, grid_vector(embedding) as vector
  from records
  where account_id = $account_id
  order by event_time desc, request_id desc
  limit $most_records
),

whole as (
  select
    mean_cosine(
      sum_vectors(list(vector)), count(*), sum(list_dot_product(vector::double[], vector::double[]))
    ) as cosine_of_any_two
  from newest
),

followed as (
  select
    *,
    lag(event_time) over in_order as event_time_before,
    lag(prompt_hash) over in_order as prompt_before,
    lag(vector) over in_order as vector_before
  from newest
  window in_order as (order by event_time, request_id)
),

numbered as (
  select
    *,
    event_time_before is null or epoch_us(event_time - event_time_before) > $silence_minutes * 60000000 as is_first,
    sum((event_time_before is null or epoch_us(event_time - event_time_before) > $silence_minutes * 60000000)::integer)
      over (order by event_time, request_id rows unbounded preceding) as session
  from followed
),

pairs as (
  select
    *,
    -- A prompt asked again says nothing about what follows what.
    case when not is_first and prompt_hash is distinct from prompt_before then cosine(vector, vector_before) end as closeness
  from numbered
),

sessions as (
  select
    session::bigint as session,
    min(event_time) as started_at,
    max(event_time) as ended_at,
    count(*) as records,
    count(closeness) as pairs,
    avg(closeness) as cosine_of_consecutive
  from pairs
  group by session
)

select
  sessions.*,
  whole.cosine_of_any_two,
  safe_div(sessions.cosine_of_consecutive - whole.cosine_of_any_two, 1 - whole.cosine_of_any_two) as coherence
from sessions
cross join whole
order by sessions.session;
