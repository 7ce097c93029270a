-- name: account_timeline
-- question: What did one account do, window by window?
-- grain: one row per window of the account, oldest first, with the readings that need no vector.
-- reads: windows, safe_div, topic_entropy, top_share, histogram_quantile
create macro account_timeline(account) as table
  select
    window_start,
    records,
    len(topic_count) as topics,
    topic_entropy(topic_count) as topic_entropy,
    top_share(topic_count) as top_topic_share,
    top_share(template_hashed_count) as top_template_share,
    top_share(sampling_hashed_count) as top_sampling_share,
    len(client_network_hashed_count) as network_buckets,
    safe_div(input_tokens, records) as mean_input_tokens,
    safe_div(output_tokens, records) as mean_output_tokens,
    histogram_quantile(latency_histogram, 0.5) as median_latency_at_least_ms,
    safe_div(reasoning_requested, records) as reasoning_share,
    safe_div(multiple_choices, records) as multiple_choices_share,
    safe_div(errors, records) as error_share,
    safe_div(refusals, records) as refusal_share
  from windows
  where account_id = account
  order by window_start;

-- Tests
select case when count(*) = 0 then true else error('unknown account') end from account_timeline('nobody');
