-- name: windows
-- question: What did each account do in each window: counts, sums, histograms?
-- grain: one row per account and window; landed deltas are added up, so late records are in.
--   Lags `records` by at most one roll-up: `segments.windows_landed` says which segments are in.
--   Sparse lists hold buckets with a count above 0, sorted; `dense_counts(topic_count, 256)` has all of them.
-- reads: raw.windows, merge_counts
create view windows as
with deltas as (
  -- A column that a query does not ask for is not gathered either, and a filter on the account or the window
  -- reaches the files: both are keys of this grouping.
  select
    account_id,
    window_start,
    count(*) as parts,
    sum(records)::bigint as records,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(embedding_norm2)::bigint as embedding_norm2,
    sum(reasoning_requested)::bigint as reasoning_requested,
    sum(logprobs)::bigint as logprobs,
    sum(multiple_choices)::bigint as multiple_choices,
    sum(streamed)::bigint as streamed,
    sum(errors)::bigint as errors,
    sum(refusals)::bigint as refusals,
    sum(other_language)::bigint as other_language,
    flatten(list(topic_count)) as topic_count,
    flatten(list(input_tokens_histogram)) as input_tokens_histogram,
    flatten(list(output_tokens_histogram)) as output_tokens_histogram,
    flatten(list(latency_histogram)) as latency_histogram,
    flatten(list(minute_histogram)) as minute_histogram,
    flatten(list(hour_histogram)) as hour_histogram,
    flatten(list(sampling_hashed_count)) as sampling_hashed_count,
    flatten(list(template_hashed_count)) as template_hashed_count,
    flatten(list(system_prompt_hashed_count)) as system_prompt_hashed_count,
    flatten(list(client_network_hashed_count)) as client_network_hashed_count,
    flatten(list(user_agent_hashed_count)) as user_agent_hashed_count,
    flatten(list(model_hashed_count)) as model_hashed_count
  from raw.windows
  group by account_id, window_start
)

select
  account_id,
  window_start,
  records,
  input_tokens,
  output_tokens,
  embedding_norm2,
  reasoning_requested,
  logprobs,
  multiple_choices,
  streamed,
  errors,
  refusals,
  other_language,
  case when parts = 1 then topic_count else merge_counts(topic_count) end as topic_count,
  case when parts = 1 then input_tokens_histogram else merge_counts(input_tokens_histogram) end as input_tokens_histogram,
  case when parts = 1 then output_tokens_histogram else merge_counts(output_tokens_histogram) end as output_tokens_histogram,
  case when parts = 1 then latency_histogram else merge_counts(latency_histogram) end as latency_histogram,
  case when parts = 1 then minute_histogram else merge_counts(minute_histogram) end as minute_histogram,
  case when parts = 1 then hour_histogram else merge_counts(hour_histogram) end as hour_histogram,
  case when parts = 1 then sampling_hashed_count else merge_counts(sampling_hashed_count) end as sampling_hashed_count,
  case when parts = 1 then template_hashed_count else merge_counts(template_hashed_count) end as template_hashed_count,
  case when parts = 1 then system_prompt_hashed_count else merge_counts(system_prompt_hashed_count) end as system_prompt_hashed_count,
  case when parts = 1 then client_network_hashed_count else merge_counts(client_network_hashed_count) end as client_network_hashed_count,
  case when parts = 1 then user_agent_hashed_count else merge_counts(user_agent_hashed_count) end as user_agent_hashed_count,
  case when parts = 1 then model_hashed_count else merge_counts(model_hashed_count) end as model_hashed_count
from deltas;
