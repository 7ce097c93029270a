-- name: what_changed
-- question: What does this account do differently since a moment?
-- topic: account
-- parameters:
--   account_id text: the account
--   changed_at timestamp = null: the moment; by default the window by which half of its windows have begun
--   least_change number = 0: changes to show, from 0 (none) to 1 (nothing stayed)
-- grain: one row per aspect, the largest change first
-- reads: windows, counts_cosine, topic_entropy, safe_div
-- detects: pivots to other topics, templates, models, settings, networks, clients, hours; jumps in volume and in lengths
-- does not detect: changes that are slower than the account is old; changes and back again
-- false positives: a new project, a new release, a journey. Aspects change together in a takeover or a pivot, one by one
--   otherwise. Few windows on one side make everything look changed: see `windows_before`, `windows_after`
-- next step: `account_timeline` around the moment; `account_records` after it
with mine as (
  select *, window_start >= coalesce($changed_at, quantile_disc(window_start, 0.5) over ()) as is_after
  from windows
  where account_id = $account_id
),

sides as (
  select
    is_after,
    count(*) as windows,
    sum(records)::bigint as records,
    safe_div(sum(records), count(distinct window_start::date)) as records_per_day,
    safe_div(sum(records), count(*)) as records_per_window,
    safe_div(sum(input_tokens), sum(records)) as mean_input_tokens,
    safe_div(sum(output_tokens), sum(records)) as mean_output_tokens,
    safe_div(sum(reasoning_requested), sum(records)) as reasoning_share,
    safe_div(sum(logprobs), sum(records)) as logprobs_share,
    safe_div(sum(multiple_choices), sum(records)) as multiple_choices_share,
    safe_div(sum(streamed), sum(records)) as streamed_share,
    safe_div(sum(errors), sum(records)) as error_share,
    safe_div(sum(refusals), sum(records)) as refusal_share
  from mine
  group by is_after
),

numbers as (
  unpivot (select * exclude (windows, records) from sides) on columns(* exclude (is_after)) into name aspect value reading
),

entries as (
  -- Rows and not merge_counts: an account may have thousands of windows.
  select is_after, 'topics' as aspect, unnest(topic_count) as entry from mine
  union all
  select is_after, 'templates' as aspect, unnest(template_hashed_count) as entry from mine
  union all
  select is_after, 'system_prompts' as aspect, unnest(system_prompt_hashed_count) as entry from mine
  union all
  select is_after, 'models' as aspect, unnest(model_hashed_count) as entry from mine
  union all
  select is_after, 'sampling' as aspect, unnest(sampling_hashed_count) as entry from mine
  union all
  select is_after, 'client_networks' as aspect, unnest(client_network_hashed_count) as entry from mine
  union all
  select is_after, 'user_agents' as aspect, unnest(user_agent_hashed_count) as entry from mine
  union all
  select is_after, 'hours' as aspect, unnest(hour_histogram) as entry from mine
),

counted as (
  select is_after, aspect, entry.bucket as bucket, sum(entry."count")::bigint as n_records
  from entries
  group by is_after, aspect, bucket
),

spreads as (
  select is_after, aspect, list({'bucket': bucket, 'count': n_records} order by bucket) as counts
  from counted
  group by is_after, aspect
),

changes as (
  select
    aspect,
    'effective number' as reading,
    exp(topic_entropy(max(counts) filter (where not is_after))) as before,
    exp(topic_entropy(max(counts) filter (where is_after))) as after,
    1 - counts_cosine(max(counts) filter (where not is_after), max(counts) filter (where is_after)) as change
  from spreads
  group by aspect
  having count(*) = 2
  union all
  select
    aspect,
    'mean' as reading,
    max(reading) filter (where not is_after) as before,
    max(reading) filter (where is_after) as after,
    -- Shares by their difference: of two small ones the ratio is noise.
    case
      when aspect like '%\_share' escape '\' then max(reading) - min(reading)
      else coalesce(safe_div(max(reading) - min(reading), max(reading)), 0)
    end as change
  from numbers
  group by aspect
  having count(*) = 2
)

select
  changes.aspect,
  changes.reading,
  changes.before,
  changes.after,
  changes.change,
  (select max(windows) from sides where not is_after) as windows_before,
  (select max(windows) from sides where is_after) as windows_after,
  (select max(records) from sides where not is_after) as records_before,
  (select max(records) from sides where is_after) as records_after
from changes
where changes.change >= $least_change
order by changes.change desc, changes.aspect;
