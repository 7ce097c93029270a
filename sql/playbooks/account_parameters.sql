-- name: account_parameters
-- question: With which settings does this account ask?
-- topic: account
-- parameters:
--   account_id text: the account
--   limit_rows integer = 50: rows to show
-- grain: one row per combination of model and settings, the most frequent first
-- reads: records, safe_div
-- detects: one fixed combination through thousands of records, sweeps over temperatures, several answers a prompt,
--   log-probabilities, reasoning asked for throughout
-- does not detect: settings that the log does not carry
-- false positives: every program asks with fixed settings; what matters is the combination (several answers,
--   log-probabilities, reasoning) together with the spread of topics
-- instead: `case_parameters` for a cluster as if it were one account
-- next step: `what_a_class_looks_like` for how usual that is; `account_records` with the model
with mine as (
  select
    model,
    temperature,
    top_p,
    max_tokens,
    choice_count,
    logprobs,
    stream,
    reasoning_requested,
    count(*) as records,
    count(distinct system_prompt_hash) as system_prompts,
    count(distinct template_hash) as templates,
    avg(output_tokens) as mean_output_tokens,
    min(event_time) as first_seen,
    max(event_time) as last_seen
  from records
  where account_id = $account_id
  group by all
)

select
  *,
  safe_div(records, sum(records) over ()) as share,
  count(*) over () as combinations
from mine
order by records desc, first_seen, model, temperature, top_p, max_tokens, choice_count, logprobs, stream, reasoning_requested
limit $limit_rows;
