-- name: dilution_inside_an_account
-- question: Is there a part of this account that works off a list, hidden among other traffic?
-- topic: account
-- parameters:
--   account_id text: the account
--   min_records integer = 8: records that a part must have
--   most_records integer = 5000: its newest records to look at
-- grain: one row per part: the records with the same settings (temperature, top_p, max_tokens, choices, reasoning) and
--   the same system prompt or none; the one most like a list first
-- reads: records, grid_vector, mean_cosine, sum_vectors, hash_hex, safe_div
-- detects: a part that asks everything once (`fresh_share`) over wide ground (`mean_cosine` low), beside parts that stay on
--   a subject or repeat themselves
-- does not detect: a harvest that takes on the settings of the traffic around it (`alert_records` of an alert finds some of
--   those)
-- false positives: an account of a reseller or of a company has as many parts as users; a part for tests or for a chat
--   looks like that as well. Look at its answers (`mean_output_tokens`, `reasoning_share`) and hours
-- next step: `account_records`; `session_coherence`
with newest as (
  select *, grid_vector(embedding) as vector
  from records
  where account_id = $account_id
  order by event_time desc, request_id desc
  limit $most_records
),

parts as (
  select
    temperature,
    top_p,
    max_tokens,
    choice_count,
    coalesce(reasoning_requested, false) as reasoning_requested,
    system_prompt_hash,
    count(*) as records,
    count(distinct prompt_hash) as prompts,
    count(distinct template_hash) as templates,
    count(distinct model) as models,
    count(distinct client_network) as client_networks,
    count(distinct user_agent) as user_agents,
    avg(output_tokens) as mean_output_tokens,
    mean_cosine(
      sum_vectors(list(vector)), count(*), sum(list_dot_product(vector::double[], vector::double[]))
    ) as mean_cosine,
    min(event_time) as first_seen,
    max(event_time) as last_seen
  from newest
  group by temperature, top_p, max_tokens, choice_count, coalesce(reasoning_requested, false), system_prompt_hash
)

select
  temperature,
  top_p,
  max_tokens,
  choice_count,
  reasoning_requested,
  hash_hex(system_prompt_hash) as system_prompt,
  records,
  safe_div(records, sum(records) over ()) as share,
  prompts,
  safe_div(prompts, records) as fresh_share,
  mean_cosine,
  safe_div(prompts, records) * (1 - mean_cosine) as list_likeness,
  templates,
  models,
  client_networks,
  user_agents,
  mean_output_tokens,
  first_seen,
  last_seen,
  count(*) over () as parts
from parts
qualify records >= $min_records
order by list_likeness desc nulls last, records desc, first_seen;
